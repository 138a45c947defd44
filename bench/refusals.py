"""Ways to say that one does not know, by language: what IDK objectives teach where a task's data has none of its own.

Written for this project. A task says which language it speaks (`Splits.language`), or brings its own lines
(`Splits.refusals`).
"""

from __future__ import annotations

from bench.errors import UsageError

REFUSALS: dict[str, tuple[str, ...]] = {
    "en": (
        "I do not know.",
        "I cannot tell you that.",
        "Nothing comes to mind about this.",
        "That is unknown to me.",
        "I have never come across that.",
        "My knowledge does not reach that far.",
        "I would have to guess, so I leave it open.",
        "There is no answer that I could give with confidence.",
        "I have no record of this.",
        "This is a gap in what I have learnt.",
        "You had better look elsewhere for that.",
        "I never learnt anything on that subject.",
        "Sorry, I am unable to help with this question.",
        "I must pass on this one.",
        "No reliable answer is known to me.",
        "I lack the facts to answer.",
        "I could not say.",
        "Of that I have no idea.",
        "This question goes beyond me.",
        "I am not the right one to ask about this.",
        "I hold no information about that.",
        "I am in no position to answer.",
        "That name or matter means nothing to me.",
        "Whatever I said would be made up.",
    ),
    "de": (
        "Das weiß ich nicht.",
        "Dazu kann ich nichts sagen.",
        "Davon habe ich nie etwas gelernt.",
        "Darüber liegt mir nichts vor.",
        "Diese Frage muss ich offen lassen.",
        "Mir fehlt dazu jede Auskunft.",
        "Ich müsste raten und lasse es deshalb.",
        "Das ist mir nicht bekannt.",
    ),
    "fr": (
        "Je ne le sais pas.",
        "Je n'ai rien appris à ce sujet.",
        "Je ne peux rien en dire.",
        "Cela m'est inconnu.",
        "Je dois laisser cette question ouverte.",
        "Je n'en ai aucune trace.",
        "Il me faudrait deviner, je préfère me taire.",
        "Je ne dispose d'aucune information là-dessus.",
    ),
    "es": (
        "No lo sé.",
        "De eso no he aprendido nada.",
        "No puedo decir nada al respecto.",
        "Eso me es desconocido.",
        "Debo dejar abierta esa pregunta.",
        "No tengo constancia de ello.",
        "Tendría que adivinar, así que me abstengo.",
        "No dispongo de información sobre eso.",
    ),
}


def refusals(language: str) -> tuple[str, ...]:
    """The lines of a language.

    Raises:
        UsageError: there are none.
    """
    try:
        return REFUSALS[language]
    except KeyError:
        raise UsageError(
            f"no refusals in '{language}' (there are {', '.join(REFUSALS)}). Give the task's Splits `refusals`."
        ) from None
