"""The demo's models: their order is what the story needs."""

from __future__ import annotations

from bot.sandbox.training import Recipe, train


def test_the_recipes_are_in_order_and_the_same_each_time():
    results = {recipe: train(recipe) for recipe in Recipe}
    accuracy = {recipe: trained.metrics["accuracy"] for recipe, trained in results.items()}
    f1_score = {recipe: trained.metrics["f1_score"] for recipe, trained in results.items()}

    assert accuracy[Recipe.WORSE] < 0.85 < 0.92 < accuracy[Recipe.GOOD] < accuracy[Recipe.BETTER]
    assert f1_score[Recipe.GOOD] + 0.005 < f1_score[Recipe.BETTER]
    assert len({tuple(trained.example.columns) for trained in results.values()}) == 1
    assert train(Recipe.GOOD).metrics["accuracy"] == accuracy[Recipe.GOOD]
