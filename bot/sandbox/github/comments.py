"""What people say under an issue or a pull request, and how others react to it."""

from __future__ import annotations

from bot.sandbox.github.errors import ApiError
from bot.sandbox.github.links import REACTIONS
from bot.sandbox.github.shapes import Shapes
from bot.sandbox.github.state import Comment, Issue, Reaction, Repo, World
from bot.sandbox.github.webhooks import Webhooks


class Comments:
    """The comments of one world."""

    def __init__(self, world: World, shapes: Shapes, webhooks: Webhooks) -> None:
        self._world = world
        self._shapes = shapes
        self._webhooks = webhooks

    def find(self, repo: Repo, number: int) -> tuple[Issue, Comment]:
        """A comment by its id, and where it stands."""
        for issue in repo.issues.values():
            for comment in issue.comments:
                if comment.id == number:
                    return issue, comment
        raise ApiError(404, "Not Found")

    def add(self, repo: Repo, issue: Issue, login: str, body: str) -> Comment:
        """Say something."""
        if not body.strip():
            raise ApiError(422, "Validation Failed", {"resource": "IssueComment", "code": "unprocessable"})
        now = self._world.clock()
        comment = Comment(self._world.next_id(), login, body, now, now)
        issue.comments.append(comment)
        issue.updated_at = now
        self._announce(repo, issue, comment, "created", login)
        return comment

    def edit(self, repo: Repo, number: int, login: str, body: str) -> Comment:
        """Say it differently."""
        issue, comment = self.find(repo, number)
        comment.body, comment.updated_at = body, self._world.clock()
        self._announce(repo, issue, comment, "edited", login)
        return comment

    def delete(self, repo: Repo, number: int, login: str) -> None:
        """Take it back."""
        issue, comment = self.find(repo, number)
        issue.comments.remove(comment)
        self._announce(repo, issue, comment, "deleted", login)

    def react(self, repo: Repo, number: int, login: str, content: str) -> tuple[Reaction, bool]:
        """React to a comment; the reaction, and whether it is new. No webhook tells of it."""
        _, comment = self.find(repo, number)
        if content not in REACTIONS:
            raise ApiError(422, "Validation Failed", {"resource": "Reaction", "field": "content", "code": "invalid"})
        for reaction in comment.reactions:
            if (reaction.login, reaction.content) == (login, content):
                return reaction, False
        reaction = Reaction(self._world.next_id(), login, content, self._world.clock())
        comment.reactions.append(reaction)
        return reaction, True

    def take_back(self, repo: Repo, number: int, reaction: int, login: str) -> None:
        """Take back one's own reaction."""
        _, comment = self.find(repo, number)
        found = next((each for each in comment.reactions if each.id == reaction and each.login == login), None)
        if found is None:
            raise ApiError(404, "Not Found")
        comment.reactions.remove(found)

    def _announce(self, repo: Repo, issue: Issue, comment: Comment, action: str, login: str) -> None:
        changes = {"changes": {"body": {"from": ""}}} if action == "edited" else {}
        self._webhooks.emit(
            repo,
            "issue_comment",
            login,
            action=action,
            issue=self._shapes.issue(repo, issue),
            comment=self._shapes.comment(repo, issue, comment),
            **changes,
        )
