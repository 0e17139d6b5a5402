{{/* What the pods of web and worker have in common. */}}

{{- define "promotion-bot.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "promotion-bot.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where a component's pods run: (list $ "web"). */}}
{{- define "promotion-bot.placement" -}}
{{- $root := index . 0 -}}
{{- $role := index $root.Values (index . 1) -}}
{{- with $role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pods of a component over nodes and zones, each revision by itself: (list $ "web"). */}}
{{- define "promotion-bot.spread" -}}
{{- $root := index . 0 -}}
{{- $role := index $root.Values (index . 1) -}}
{{- $selector := include "promotion-bot.selector" . -}}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $role.whenUnsatisfiable }}
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "promotion-bot.redisHost" -}}
{{ include "promotion-bot.fullname" . }}-valkey
{{- end -}}

{{/* A variable from a Secret: (list "secret" "NAME"). */}}
{{- define "promotion-bot.fromSecret" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 0 }}
      key: {{ index . 1 }}
{{- end -}}

{{/* The same, where the Secret need not hold it. */}}
{{- define "promotion-bot.fromSecretIfThere" -}}
{{ include "promotion-bot.fromSecret" . }}
      optional: true
{{- end -}}

{{/* A variable, unless it is empty: (list "NAME" "value"). */}}
{{- define "promotion-bot.variable" -}}
{{- with index . 1 }}
- name: {{ index $ 0 }}
  value: {{ . | quote }}
{{- end -}}
{{- end -}}

{{/* The App's number, which YAML may have read as a float. */}}
{{- define "promotion-bot.appId" -}}
{{- with .Values.config.github.appId }}{{ int64 . }}{{ end -}}
{{- end -}}

{{/* Variables of web and worker: the queue, and what is served. */}}
{{- define "promotion-bot.sharedEnv" -}}
{{- if .Values.valkey.enabled }}
{{ include "promotion-bot.fromSecret" (list .Values.valkey.existingSecret "VALKEY_PASSWORD") }}
- name: REDIS_URL
  value: redis://:$(VALKEY_PASSWORD)@{{ include "promotion-bot.redisHost" . }}:6379/0
{{- else }}
{{ include "promotion-bot.fromSecret" (list .Values.existingSecrets.redis "REDIS_URL") }}
{{- end }}
{{- include "promotion-bot.variable" (list "PROMOTION_REPOSITORIES" (join "," .Values.config.repositories)) }}
{{- include "promotion-bot.variable" (list "PROMOTION_PUBLIC_URL" .Values.config.publicUrl) }}
{{- include "promotion-bot.variable" (list "PROMOTION_INTERNAL_URL" .Values.config.internalUrl) }}
{{- include "promotion-bot.variable" (list "GITHUB_APP_ID" (include "promotion-bot.appId" .)) }}
{{- include "promotion-bot.variable" (list "PROMOTION_LOG_FORMAT" .Values.config.logFormat) }}
{{- include "promotion-bot.variable" (list "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.config.otlpEndpoint) }}
{{- end -}}

{{/* Variables of the web service alone: it verifies webhooks, and has none of GitHub's or MLflow's credentials. */}}
{{- define "promotion-bot.webEnv" -}}
{{ include "promotion-bot.fromSecret" (list .Values.existingSecrets.webhooks "MLFLOW_WEBHOOK_SECRET") }}
{{ include "promotion-bot.fromSecret" (list .Values.existingSecrets.webhooks "GITHUB_WEBHOOK_SECRET") }}
{{- with .Values.existingSecrets.board }}
{{ include "promotion-bot.fromSecret" (list . "PROMOTION_BOARD_TOKEN") }}
{{- end }}
{{- include "promotion-bot.variable" (list "PROMOTION_BOARD_USER_HEADER" .Values.config.boardUserHeader) }}
{{- include "promotion-bot.variable" (list "PROMOTION_METRICS_PORT" (toString .Values.metrics.port)) }}
{{- end -}}

{{/* Variables of the workers alone. */}}
{{- define "promotion-bot.workerEnv" -}}
{{- include "promotion-bot.variable" (list "MLFLOW_TRACKING_URI" .Values.config.mlflow.trackingUri) }}
{{- include "promotion-bot.variable" (list "MLFLOW_REGISTRY_URI" .Values.config.mlflow.registryUri) }}
{{- include "promotion-bot.variable" (list "GITHUB_API_URL" .Values.config.github.apiUrl) }}
{{- include "promotion-bot.variable" (list "PROMOTION_SWEEP_INTERVAL" .Values.config.sweepInterval) }}
{{- include "promotion-bot.variable" (list "PROMOTION_QUEUE_LEASE" .Values.config.queueLease) }}
{{- include "promotion-bot.variable" (list "PROMOTION_DVC_ROOTS" (join "," .Values.config.dvcRoots)) }}
{{- include "promotion-bot.variable" (list "PROMOTION_DVC_HOSTS" (join "," .Values.config.dvcHosts)) }}
{{- include "promotion-bot.variable" (list "PROMOTION_NOTIFY_EVENTS" (join "," .Values.config.notifyEvents)) }}
{{- with .Values.existingSecrets.notifications }}
{{- range list "PROMOTION_NOTIFY_SLACK_URL" "PROMOTION_NOTIFY_WEBHOOK_URL" "PROMOTION_NOTIFY_WEBHOOK_SECRET" }}
{{ include "promotion-bot.fromSecretIfThere" (list $.Values.existingSecrets.notifications .) }}
{{- end }}
{{- end }}
{{- if .Values.config.github.appId }}
{{- include "promotion-bot.variable" (list "GITHUB_APP_PRIVATE_KEY_FILE" "/run/secrets/promotion-bot/GITHUB_APP_PRIVATE_KEY") }}
{{- else }}
{{ include "promotion-bot.fromSecret" (list .Values.existingSecrets.github "GITHUB_TOKEN") }}
{{- end }}
{{- end -}}

{{/* The App's key as a file: not in the environment, which every child process inherits. */}}
{{- define "promotion-bot.workerVolumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.worker.tmpSize }}
{{- if .Values.config.github.appId }}
- name: github
  secret:
    secretName: {{ .Values.existingSecrets.github }}
    defaultMode: 0440
    items:
      - key: GITHUB_APP_PRIVATE_KEY
        path: GITHUB_APP_PRIVATE_KEY
{{- end }}
{{- with .Values.worker.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "promotion-bot.workerMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.config.github.appId }}
- name: github
  mountPath: /run/secrets/promotion-bot
  readOnly: true
{{- end }}
{{- with .Values.worker.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secret with the workers' own variables, and what else they take from elsewhere. */}}
{{- define "promotion-bot.workerEnvFrom" -}}
{{- if or .Values.existingSecrets.worker .Values.worker.extraEnvFrom }}
envFrom:
{{- with .Values.existingSecrets.worker }}
  - secretRef:
      name: {{ . }}
{{- end }}
{{- with .Values.worker.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "promotion-bot.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
