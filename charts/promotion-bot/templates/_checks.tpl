{{/* What the schema cannot say: what is needed, and what only fits together. Says everything at once. */}}
{{- define "promotion-bot.check" -}}
{{- $v := .Values -}}
{{- $problems := list -}}
{{- if not $v.config.repositories -}}
{{- $problems = append $problems "config.repositories is empty; for example: [acme/models]" -}}
{{- end -}}
{{- if not $v.config.mlflow.trackingUri -}}
{{- $problems = append $problems "config.mlflow.trackingUri is missing; for example: https://mlflow.example.com" -}}
{{- end -}}
{{- range $uri := list $v.config.mlflow.trackingUri $v.config.mlflow.registryUri -}}
{{- if regexMatch "^[a-z]+://[^/]*@" $uri -}}
{{- $problems = append $problems "config.mlflow holds credentials; put MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into the Secret of existingSecrets.worker" -}}
{{- end -}}
{{- end -}}
{{- if not $v.existingSecrets.webhooks -}}
{{- $problems = append $problems "existingSecrets.webhooks is missing: the name of a Secret with MLFLOW_WEBHOOK_SECRET and GITHUB_WEBHOOK_SECRET" -}}
{{- end -}}
{{- if not $v.existingSecrets.github -}}
{{- $problems = append $problems "existingSecrets.github is missing: the name of a Secret with GITHUB_APP_PRIVATE_KEY, and config.github.appId (or with GITHUB_TOKEN, without it)" -}}
{{- end -}}
{{- if and $v.valkey.enabled $v.existingSecrets.redis -}}
{{- $problems = append $problems "valkey.enabled and existingSecrets.redis are both set; keep one of them" -}}
{{- end -}}
{{- if not (or $v.valkey.enabled $v.existingSecrets.redis) -}}
{{- $problems = append $problems "existingSecrets.redis is missing: the name of a Secret with REDIS_URL (or set valkey.enabled)" -}}
{{- end -}}
{{- if and $v.valkey.enabled (not $v.valkey.existingSecret) -}}
{{- $problems = append $problems "valkey.existingSecret is missing: the name of a Secret with VALKEY_PASSWORD" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- $problems = append $problems "ingress.host is missing; for example: promotion.example.com" -}}
{{- end -}}
{{- if eq (int $v.metrics.port) 8080 -}}
{{- $problems = append $problems "metrics.port is 8080, which is the web service's own; for example: 9090" -}}
{{- end -}}
{{- range $role := list "web" "worker" -}}
{{- $account := (index $v $role).serviceAccount -}}
{{- if not (or $account.create $account.name) -}}
{{- $problems = append $problems (printf "%s.serviceAccount.name is missing: with create: false it names one that is there already" $role) -}}
{{- end -}}
{{- $scaling := (index $v $role).autoscaling -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $problems = append $problems (printf "%s.autoscaling.minReplicas is greater than maxReplicas" $role) -}}
{{- end -}}
{{- end -}}
{{- $keda := $v.worker.autoscaling.keda -}}
{{- if eq $v.worker.autoscaling.kind "keda" -}}
{{- if and (eq $keda.trigger "redis") (not (or $v.valkey.enabled $keda.redis.address)) -}}
{{- $problems = append $problems "worker.autoscaling.keda.redis.address is missing: host:port of the server in REDIS_URL (or set the trigger to prometheus)" -}}
{{- end -}}
{{- if and (eq $keda.trigger "prometheus") (not $keda.prometheus.serverAddress) -}}
{{- $problems = append $problems "worker.autoscaling.keda.prometheus.serverAddress is missing; for example: http://prometheus-operated.monitoring:9090" -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\nthe values do not say what promotion-bot needs:\n  %s\n" (join "\n  " $problems)) -}}
{{- end -}}
{{- end -}}
