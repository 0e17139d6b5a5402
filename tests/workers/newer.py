"""A later version of the bot, as far as one beside it can tell: what it leaves in Redis has other forms.

To be imported before the product: another kind of key, tokens and jobs of another form, another row for what fails.
"""

from __future__ import annotations

from tests.other_code import Change, change

change(
    Change(
        "bot.domain.keys",
        "_KINDS: dict[str, type[Key]] = {\n",
        """@dataclass(frozen=True, slots=True, order=True)
class DataSetKey:
    repository: str
    name: str


_KINDS: dict[str, type[Key]] = {
    "data-set": DataSetKey,
""",
    ),
    Change(
        "bot.domain.keys",
        """        case ["registered-model", str(model)]:
""",
        """        case ["data-set", str(repository), str(name)]:
            return DataSetKey(repository, name)
        case ["registered-model", str(model)]:
""",
    ),
    Change(
        "bot.gateways.queue",
        "local token = prefix .. '-' .. #claimed / 2 .. '-' .. found",
        "local token = 'later-' .. prefix .. '_' .. #claimed / 2 .. '_' .. found",
    ),
    Change(
        "workers.process",
        "args=(dump_key(item.key), item.token),",
        "args=(dump_key(item.key), item.token, 'and more'),",
    ),
    Change("workers.queued_job", "[str(key), str(token)], {**options}]", "[str(key), str(token), *_], {**options}]"),
    Change(
        "bot.gateways.troubles",
        "row = json.dumps([failures, since, now, what[:_LONGEST_SAID], cause, _VERSION])",
        'row = json.dumps({"failures": failures, "since": since, "what": what})',
    ),
)
