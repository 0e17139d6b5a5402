"""Chat-ops: reads a comment again, finds out who may, carries out its commands one by one, and answers once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from bot.comments import replies
from bot.domain.actions import AnswerRequest
from bot.domain.authorisation import WINDOW
from bot.domain.command_lines import lines_of
from bot.domain.commands import (
    MOST_COMMANDS,
    AskStatus,
    BadCommand,
    Cancel,
    Command,
    Compare,
    Explain,
    Help,
    Hold,
    Line,
    Needs,
    OverrideCheck,
    Place,
    Promote,
    Resume,
    Rollback,
    Validate,
    parse,
)
from bot.domain.errors import Refused
from bot.domain.instructions import Instruction, Said, Settled, Told
from bot.domain.keys import CommentKey, EnvironmentKey, ModelKey, PullRequestKey, RepositoryKey
from bot.domain.promotion import decide
from bot.domain.versions import RegisteredModel, VersionStatus
from bot.gateways.github.comments import Comment, Reaction
from bot.gateways.github.people import Role
from bot.wiring import Gateways
from policies.documents import InvalidDocument, nearest
from policies.evidence import Run
from policies.verdict import Outcome
from workers.apply import Effects, reaction_for
from workers.approvers import login_of, permitted
from workers.board import board
from workers.comparison import compared
from workers.desk import Desk
from workers.look_at_pull_request import Writing, decide_gates, open_actions
from workers.observe import glance_at_model, observe_model
from workers.observe_pull_request import PullRequestObserver
from workers.repository_view import RepositoryView

LATE: Final = timedelta(hours=1)  # what is found later than this is answered, not carried out


def look_at_comment(key: CommentKey, desk: Desk, gateways: Gateways, now: datetime) -> None:
    """Carry out the commands of one comment, if they are not answered yet, and answer them."""
    repository = gateways.github(key.repository)
    comment = repository.comments.get(key.comment)
    if comment is None or comment.by_bot or not comment.author or comment.author == gateways.login():
        return
    lines = lines_of(comment.body)
    if not lines:
        return
    answered = repository.comments.log().answered(comment.id)
    if any(line.number in answered for line in lines):
        return
    if comment.was_edited and now - comment.created_at > LATE:
        return  # an old comment that was made a command afterwards
    desk.still_mine()
    repository.comments.react(comment.id, Reaction.SEEN)
    said = _answers(key, comment, lines, desk, gateways, now)
    # The answer comes last: whatever ends this look before it, the comment is found unanswered again.
    reaction = reaction_for([each.settled for each in said])
    if reaction is not None:
        desk.still_mine()
        repository.comments.conclude(comment, reaction)
    desk.still_mine()
    repository.comments.say(key.issue, replies.reply(comment.id, said))


def _answers(
    key: CommentKey, comment: Comment, lines: tuple[Line, ...], desk: Desk, gateways: Gateways, now: datetime
) -> list[replies.Said]:
    def all_refused(text: str) -> list[replies.Said]:
        return [replies.Said(line.number, line.text, Settled.REFUSED, text) for line in lines]

    if comment.was_edited:
        edited = "the comment was edited, so nobody can tell who wrote this; say it in a new comment"
        return all_refused(replies.cannot(edited))
    if now - comment.created_at > LATE:
        return all_refused(replies.too_late())
    if len(lines) > MOST_COMMANDS:
        return all_refused(replies.cannot(f"these are {len(lines)} commands; a comment may have {MOST_COMMANDS}"))
    said: list[replies.Said] = []
    role: Role | None = None
    for line in lines:
        try:
            if role is None:
                role = gateways.github(key.repository).people.role(comment.author)
            view = RepositoryView(gateways, key.repository, now)
            run = _Run(key, comment, line, role, view, desk)
            for earlier in said:
                if earlier.told is not None and earlier.settled is not Settled.REFUSED:
                    view.say(run.instruction(earlier.told, earlier.number, earlier.settled))
            settled, text, told = run.carry_out()
            said.append(replies.Said(line.number, line.text, settled, text, told))
        except InvalidDocument as invalid:
            text = replies.cannot(f"the promotion files on the default branch cannot be read: {invalid.problems[0]}")
            said.append(replies.Said(line.number, line.text, Settled.REFUSED, text))
        except Refused as refusal:
            said.append(replies.Said(line.number, line.text, Settled.REFUSED, replies.cannot(str(refusal))))
    return said


_Result = tuple[Settled, str, Told | None]


class _Run:
    """One line of a comment, carried out in one view of the repository."""

    def __init__(
        self, key: CommentKey, comment: Comment, line: Line, role: Role, view: RepositoryView, desk: Desk
    ) -> None:
        self._key = key
        self._comment = comment
        self._line = line
        self._role = role
        self._view = view
        self._desk = desk
        self._pipeline = view.pipeline.pipeline
        self._observer = PullRequestObserver(view, view.now)

    def instruction(self, told: Told, line: int, settled: Settled) -> Instruction:
        """An accepted line of this comment."""
        comment = self._comment
        waiting = settled is Settled.WAITING
        return Instruction(told, comment.author, comment.created_at, self._key.issue, comment.id, line, waiting)

    def carry_out(self) -> _Result:
        """Carry out the line; raises Refused where it cannot be."""
        self._expect_permission()
        command: Command = parse(self._line, self._place())
        match command:
            case Promote():
                return self._promote(command)
            case Rollback():
                return self._roll_back(command)
            case Hold(model, environment, reason):
                told = Told(Said.HOLD, self._environment(environment), self._owned(model), reason=reason)
                return self._accept(told, replies.held(told))
            case Resume(model, environment):
                told = Told(Said.RESUME, self._environment(environment), self._owned(model))
                return self._resume(told)
            case OverrideCheck():
                return self._override(command)
            case Cancel():
                return self._cancel()
            case Validate():
                return self._validate()
            case Explain(check):
                return Settled.DONE, self._explain(check), None
            case Compare(model, versions):
                comparison = compared(self._view.gateways.registry, self._registered(model), versions)
                return Settled.DONE, replies.compared(comparison), None
            case AskStatus(model):
                cells = board(self._view, self._owned(model))
                shown = cells if model else tuple(c for c in cells if c.live or c.proposed or c.hold or c.notes)
                return Settled.DONE, replies.status(shown), None
            case Help():
                return Settled.DONE, replies.commands(), None

    # --- who may, and what is meant -----------------------------------------------------------------------------------

    def _expect_permission(self) -> None:
        spec = self._line.spec
        people = self._view.repository.people
        if not people.may_read(self._comment.author):
            raise Refused("commands are for the people of this repository")
        if spec is not None and spec.needs is Needs.WRITE and self._role < Role.WRITE:
            raise Refused(f"{spec.name} needs the permission to write to this repository")

    def _place(self) -> Place:
        """The promotion that the conversation is about: of the one entry that its pull request changes."""
        pull = next((p for p in self._view.pull_requests if p.number == self._key.issue), None)
        change = self._observer.only_change(pull) if pull is not None else None
        if change is None:
            return Place()
        model, environment, entry = change
        return Place(model, environment, entry.version if entry else None)

    def _environment(self, name: str) -> str:
        names = [environment.name for environment in self._pipeline.environments]
        if name not in names:
            raise BadCommand(f"the pipeline has no environment “{name}”{nearest(name, names)}")
        return name

    def _owned(self, model: str) -> str:
        """A model of this repository, or none."""
        if model and not self._pipeline.owns(model):
            raise BadCommand(f"this repository's pipeline does not name the model “{model}”{self._similar(model)}")
        return model

    def _registered(self, model: str) -> RegisteredModel:
        registered = self._view.gateways.registry.model(self._owned(model))
        if registered is None:
            raise BadCommand(f"the registry has no model “{model}”{self._similar(model)}")
        return registered

    def _similar(self, model: str) -> str:
        names = [m.name for m in self._view.gateways.registry.models() if self._pipeline.owns(m.name)]
        return nearest(model, names)

    # --- what asks for a proposal -------------------------------------------------------------------------------------

    def _promote(self, command: Promote) -> _Result:
        registered = self._registered(command.model)
        number = command.version or max(
            (v.version for v in registered.versions if v.status is VersionStatus.READY), default=None
        )
        if number is None or registered.version(number) is None:
            raise BadCommand(f"the registry has no version {command.version or ''} of “{command.model}”")
        environment = command.environment or self._first_not_live(registered, number)
        told = Told(Said.PROMOTE, self._environment(environment), command.model, number)
        return self._ask(told, registered)

    def _first_not_live(self, registered: RegisteredModel, version: int) -> str:
        world = glance_at_model(self._view, registered.name, registered, self._view.now)
        free = (s.rules.name for s in world.states if s.live is None or s.live.version != version)
        environment = next(free, None)
        if environment is None:
            raise BadCommand(f"version {version} is live in every environment already")
        return environment

    def _roll_back(self, command: Rollback) -> _Result:
        registered, environment = self._registered(command.model), self._environment(command.environment)
        state = glance_at_model(self._view, command.model, registered, self._view.now).environments[environment]
        if state.live is None:
            raise BadCommand(f"nothing is live in {environment}, so there is nothing to go back from")
        number = command.version or self._before(state.live.version, state.versions_before_live)
        return self._ask(Told(Said.ROLLBACK, environment, command.model, number), registered)

    @staticmethod
    def _before(live: int, versions: tuple[int, ...]) -> int:
        """The version that was live before the one that is."""
        earlier = [version for version in versions if version != live]
        if not earlier:
            raise BadCommand(f"nothing was live before version {live}")
        return earlier[-1]

    def _ask(self, told: Told, registered: RegisteredModel) -> _Result:
        """Look at the model with the request in hand; what it leads to is the answer."""
        request = self.instruction(told, self._line.number, Settled.WAITING)
        self._expect_newest(told, request)
        self._view.say(request)
        world = observe_model(self._view, told.model, registered, self._view.now)
        effects = Effects(self._view, self._desk, told.model)
        answer: AnswerRequest | None = None
        for action in decide(world, self._view.now):
            if isinstance(action, AnswerRequest) and action.request == request:
                answer = action
            else:
                effects.apply(action)
        self._desk.look_at(ModelKey(self._view.name, told.model))
        if answer is None:
            evaluation = world.environments[told.environment].evaluations.get(told.version or 0)
            return Settled.WAITING, replies.waiting(told, evaluation), told
        return answer.settled, effects.answer_text(answer), told

    def _expect_newest(self, told: Told, request: Instruction) -> None:
        """Of two contrary commands the later wins, in whatever order they are found."""
        asking = (Said.PROMOTE, Said.ROLLBACK, Said.CANCEL)
        for other in self._view.instructions(told.model, told.environment):
            if other.told.said in asking and other.order > request.order:
                raise Refused(f"a later command in {other.source} says something else")

    # --- what is written down -----------------------------------------------------------------------------------------

    def _accept(self, told: Told, text: str) -> _Result:
        """An instruction whose effect is that it stands: the next look at its key finds it."""
        if told.model:
            self._desk.look_at(ModelKey(self._view.name, told.model))
        else:
            self._desk.look_at(EnvironmentKey(self._view.name, told.environment))
            self._desk.look_at(RepositoryKey(self._view.name))
        if any(pull.number == self._key.issue for pull in self._view.pull_requests):
            self._desk.look_at(PullRequestKey(self._view.name, self._key.issue))
        return Settled.DONE, text, told

    def _resume(self, told: Told) -> _Result:
        self._view.say(self.instruction(told, self._line.number, Settled.DONE))
        still = None
        if told.model:
            world = glance_at_model(
                self._view, told.model, self._view.gateways.registry.model(told.model), self._view.now
            )
            still = world.environments[told.environment].hold
        return self._accept(told, replies.resumed(told, still))

    def _override(self, command: OverrideCheck) -> _Result:
        environment = self._environment(command.environment)
        rules = self._view.environment(environment)
        obstacles: list[str] = []
        allowed = permitted(self._view.repository, rules.overrides, obstacles)
        if not rules.overrides:
            raise Refused(f"nobody may override in {environment}: the pipeline has no `overrides.from` there")
        if self._comment.author not in (allowed or ()):
            who = " or ".join(rules.overrides)
            raise Refused("; ".join([f"an override in {environment} needs {who}", *obstacles]))
        registered = self._registered(command.model)
        version = registered.version(command.version)
        if version is None:
            raise BadCommand(f"the registry has no version {command.version} of “{command.model}”")
        checks = [check.id for check in self._view.files.policy(self._view.head, rules).policy.checks]
        if command.check not in (*checks, WINDOW):
            raise BadCommand(
                f"the policy of {environment} has no check “{command.check}”{nearest(command.check, [*checks, WINDOW])}"
            )
        if rules.approvals.not_author:
            self._expect_not_beneficiary(registered, command)
        told = Told(Said.OVERRIDE, environment, command.model, command.version, command.check, command.reason)
        return self._accept(told, replies.overridden(told))

    def _expect_not_beneficiary(self, registered: RegisteredModel, command: OverrideCheck) -> None:
        version = registered.version(command.version)
        evidence = self._view.gateways.registry.version_evidence(registered, version) if version else None
        author = self._comment.author
        if evidence is not None and isinstance(evidence.run, Run):
            trainer = login_of(self._view.repository, self._pipeline, evidence.run.user)
            if trainer == author:
                raise Refused("who trained the model cannot override a check of it")
        asked = (Said.PROMOTE, command.environment, command.model, command.version)
        for other in self._view.log.attempts():
            told = other.told
            if (told.said, told.environment, told.model, told.version) == asked and other.by == author:
                raise Refused("who asked for the promotion cannot override a check of it")

    def _cancel(self) -> _Result:
        pull = next(p for p in self._view.pull_requests if p.number == self._key.issue)
        place = self._place()
        if not self._observer.is_own(pull):
            raise Refused("this pull request is not the bot's; close it with GitHub's button")
        if pull.merged_at is not None:
            raise Refused("this pull request is merged; `/rollback` goes back")
        if pull.is_open:
            self._desk.still_mine()
            self._view.repository.pulls.close(pull.number)
        told = Told(Said.CANCEL, place.environment, place.model, place.version)
        return self._accept(told, replies.cancelled(pull.number))

    # --- what is only said --------------------------------------------------------------------------------------------

    def _validate(self) -> _Result:
        pull = self._view.repository.pulls.get(self._key.issue)
        if pull is None or not pull.is_open:
            raise BadCommand("only an open pull request can be evaluated; `/promote` evaluates a version")
        effects = Effects(self._view, self._desk)
        decided = decide_gates(self._view, self._observer, pull, self._view.now)
        for action in open_actions(self._view, self._observer, pull, decided, Writing.ANEW):
            effects.apply(action)
        return Settled.DONE, replies.validated(decided.gates), None

    def _explain(self, check: str) -> str:
        pull = self._view.repository.pulls.get(self._key.issue)
        if pull is None or not pull.is_open:
            raise BadCommand("a check is explained in the open pull request of a promotion")
        decided = decide_gates(self._view, self._observer, pull, self._view.now)
        for gate in decided.gates:
            if check in (gate.name, gate.name.removeprefix("promotion/")) and gate.name != "promotion/policy":
                return replies.explained_gate(gate)
        evaluations = [change.evaluation for change in decided.observed.changes if change.evaluation]
        for evaluation in evaluations:
            found = _outcome(evaluation.verdict.outcomes, lambda outcome: outcome.check == check)
            if found is not None:
                return replies.explained(found, evaluation)
        known = [outcome.check for evaluation in evaluations for outcome in evaluation.verdict.outcomes]
        raise BadCommand(f"there is no check “{check}” here{nearest(check, [*known, 'approvals', 'window'])}")


def _outcome(outcomes: tuple[Outcome, ...], wanted: Callable[[Outcome], bool]) -> Outcome | None:
    for outcome in outcomes:
        found = outcome if wanted(outcome) else _outcome(outcome.children, wanted)
        if found is not None:
            return found
    return None
