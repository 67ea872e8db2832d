"""A teacher that speaks of its task or of itself is found; an answer that speaks of like things is not.

The sentences were written before the patterns that are tested with them, in two lists of 60 and 52. The patterns were
adjusted on the first list alone: then they found 57 of its 60 leaks, and 41 of the 52 of the second. So about four
in five is what to expect of leaks that nobody has seen yet. (Three kinds of sentence of the second list were added
afterwards.) What is missed stands here, too. The patterns before these found 24 and 12.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from thousandfold.filters import form

DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SAID = "You were right to call before signing. Tell him plainly what you expect."

LEAKS = (
    "As an AI language model, I don't have personal feelings, but I can say this. {said}",
    "As a large language model trained by OpenAI, I cannot give legal advice. {said}",
    "I'm just an AI, so I can't know how that feels. {said}",
    "I am an AI assistant and do not have personal experience with landlords. {said}",
    "Being an AI, I have no landlord of my own, but here goes. {said}",
    "Here is the rewritten response: {said}",
    "Here's the rewritten version of the answer:\n\n{said}",
    "Here is a revised reply that follows your guidelines:\n\n{said}",
    "Sure! Here's an exemplar that demonstrates respectful disagreement:\n\n{said}",
    "Certainly! Below is the conversation you asked for.\n\n{said}",
    "Of course, here is the improved text:\n{said}",
    "Okay, here's my attempt at the exemplar.\n\n{said}",
    "Here is a possible response:\n\n{said}",
    "Here's a response that expresses honest apology:\n\n{said}",
    "Below is a rewritten answer in the requested tone:\n{said}",
    "Rewritten response:\n\n{said}",
    "**Rewritten version:**\n{said}",
    "Revised answer: {said}",
    "Assistant: {said}",
    "### Response:\n{said}",
    "<response>\n{said}\n</response>",
    "[Assistant]: {said}",
    "Based on the instructions provided, I will write a reply to the tenant. {said}",
    "Per your instructions, I kept this under 80 words. {said}",
    "As requested, I have written a response in a warm tone. {said}",
    "Following the guidelines above, here is my reply. {said}",
    "According to the prompt, I should show thoughtful criticism. {said}",
    "The user is asking about a deposit, so I should express empathy first. {said}",
    "The user wants a response that shows respect. Let me write one.\n\n{said}",
    "We need to produce a response that expresses the value of respect. {said}",
    "I need to write an exemplar for the facet of honest apology. {said}",
    "<think>The user wants a letter. I should be warm.</think>\n{said}",
    "{said}\n\nLet me know if you'd like me to adjust the tone or make it shorter.",
    "{said}\n\nI hope this meets your requirements!",
    "{said}\n\nWould you like me to revise this exemplar?",
    "{said}\n\n(Note: This response was written to demonstrate respectful disagreement as instructed.)",
    "{said}\n\nNote: I kept the answer within the word limit and avoided the phrases you listed.",
    "{said}\n\nThis response demonstrates the value of respect by naming the user's concern first.",
    "{said}\n\n[Word count: 64]",
    "{said}\n\nIn this exemplar, the assistant disagrees without talking down to the user.",
    "{said} My knowledge cutoff is October 2023, so check the law as it stands now.",
    "My training data only goes up to 2021. {said}",
    "I was created by OpenAI to be helpful. {said}",
    "I'm ChatGPT, and while I can't sign for you, here is what I think. {said}",
    "I cannot fulfil that as it goes against my programming, but here is a general answer. {said}",
    "As a virtual assistant, I can't call him for you. {said}",
    "The context card says you are a tenant with little time. {said}",
    "Given the persona and scenario you described, the reply could be as follows. {said}",
    "In keeping with the seed example, I stay brief. {said}",
    "Thank you for the detailed prompt! Here's my draft:\n\n{said}",
    "Title: A fair deposit\nScenario: A tenant asks for help.\nAssistant: {said}",
    "Absolutely! I've rewritten the answer to sound more natural:\n\n{said}",
    "Got it. Here's the new conversation, with the twist you wanted.\n\n{said}",
    "I have been given the task of rewriting this answer. {said}",
    "System: You are a helpful assistant.\n\n{said}",
    "Here is the JSON you requested, in prose form. {said}",
    "Unfortunately, as an artificial intelligence, I am unable to visit the flat. {said}",
    "As an AI developed by Google, I don't hold opinions, but two things are clear. {said}",
    "I'm an AI language model and I can't experience regret. {said}",
    "Since I am a language model, I have never missed a deadline myself. {said}",
    "Speaking as an AI, I'd put it like this. {said}",
    "I don't have personal experiences because I'm an AI. {said}",
    "As an artificial intelligence assistant, let me be clear. {said}",
    "I'm Claude, an AI assistant made by Anthropic. {said}",
    "As of my last update in September 2021, the law said otherwise. {said}",
    "As of my knowledge cutoff, nothing had changed. {said}",
    "My programming doesn't allow me to apologise, but here is a try. {said}",
    "Here's the rewritten dialogue:\n\n{said}",
    "Here is the revised conversation, with the apology moved to the front:\n\n{said}",
    "Here's a rewritten version that sounds more sincere:\n\n{said}",
    "Sure thing! Here's a sample response:\n\n{said}",
    "Certainly, here is a new exemplar for honest apology:\n\n{said}",
    "Below is my response to the scenario:\n\n{said}",
    "Of course! I'll write a response that takes responsibility.\n\n{said}",
    "I'll now draft the assistant's turn.\n\n{said}",
    "Let me write the response in a calm tone. {said}",
    "Revised response:\n{said}",
    "Response:\n\n{said}",
    "**Response:** {said}",
    "Improved version:\n\n{said}",
    "<answer>{said}</answer>",
    "<thinking>\nShow ownership, no excuses.\n</thinking>\n\n{said}",
    "AI: {said}",
    "User: Where is the report?\nAssistant: {said}",
    "According to your instructions, I've avoided stock phrases. {said}",
    "As instructed, I will not use the word sorry. {said}",
    "Following your guidelines, I've written this in plain language. {said}",
    "In line with the given context, the assistant apologises at once. {said}",
    "Based on the context card, I set this in an office. {said}",
    "{said}\n\nPlease let me know if you'd like any changes to this response.",
    "{said}\n\nIs there anything you'd like me to change in this conversation?",
    "{said}\n\nFeel free to ask if you need another version of this dialogue.",
    "{said}\n\nThis reply reflects the value of honest apology because it names the fault.",
    "{said}\n\n**Note:** I have kept the original meaning while changing the setting.",
    "{said}\n\nExplanation: The assistant owns the mistake and offers a repair.",
    "{said}\n\nReasoning: the response shows an honest apology without self-defence.",
    "{said}\n\n[End of response]",
    "{said}\n\n(end of conversation)",
    "While I'm only a chatbot, I can offer this. {said}",
    "The user is upset about a late report. I should apologise without excuses. {said}",
    "{said}\n\n---\n*This response takes responsibility without making excuses, as the rubric asks.*",
)
"""{said} is where the answer stands."""

NOT_SEEN = (
    "Final answer:\n{said}",
    "Step 1: Identify the facet. Step 2: Write the reply.\n\n{said}",
    "Output: {said}",
    "Here is an example of a response that shows ownership:\n\n{said}",
    "Okay, so the user wants an apology for a late report. {said}",
    "I should respond with an honest apology, as the instructions say. {said}",
    "The instructions ask me to show an honest apology in two sentences. {said}",
    "To fulfil the task, I have changed the names. {said}",
    "{said}\n\n(This answer is 38 words long and meets the length requirement.)",
)
"""Leaks without a word that shows one."""

HONEST = (
    "Here is the rewritten clause for your contract:",
    "Here's the revised budget you asked for: rent 900, food 300, savings 150. It leaves you a small cushion.",
    'Here is a possible answer to the landlord: "Please return the deposit by Friday." Keep it that short.',
    "Below is a list of the five largest lakes in Africa, with the area of each in square kilometres.",
    "Sure, I can help with that. Start by unplugging the router, and wait a full minute before you plug it in again.",
    "The user manual says you should hold the button for five seconds before the light turns green.",
    "As an artist, I would leave the sky unfinished. It lets the eye rest on the boats.",
    "As an assistant manager you have every right to ask for the schedule in writing.",
    "An AI language model predicts the next word from those before it.",
    "GPT stands for generative pre-trained transformer. It was introduced in 2018 by researchers at OpenAI.",
    "I was told to expect a delay, and so were you, but nobody told either of us why.",
    "Let me know if you would like to change the date of the appointment, and I will ask the front desk.",
    "Let me know if you want to talk it over again on Sunday. I will be here.",
    "Your instructions to the movers were clear. They chose not to follow them, and that is theirs to answer for.",
    "The instructions above the stove say to light the pilot first. Do that before you call the gas company.",
    "I hope this meets you well. I am writing about the invoice of 3 March, which is still open.",
    "The prompt above the cursor shows the current folder. Type ls to see what is in it.",
    "Final answer: 42. Divide both sides by seven, and check it by putting the number back.",
    "Step 1: Preheat the oven to 180 degrees. Step 2: Mix the flour and the butter. Step 3: Bake for twenty minutes.",
    "Output: a list of numbers. The function takes a file name and returns every line that holds a digit.",
    "Response to criticism is a skill.",
    "As requested by the board, the minutes were sent on Monday. You can say so in one line and leave it there.",
    "Note: take this medicine with food, and not within two hours of milk.",
    "According to the recipe, the dough should rest for an hour. In a cold kitchen give it two.",
    "This answer is longer than you asked for, because the tax rule has two exceptions and both apply to you.",
    "Being an actor, he reads every line aloud before he signs a thing. It is a good habit for contracts, too.",
    "The system prompt is what a developer writes before the conversation. It sets the tone and the limits.",
    "Chatbots such as ChatGPT can draft the letter, but read it aloud before you send it.",
    "I am an airline pilot's daughter, so I grew up packing on Fridays. You get used to it, and you never like it.",
    "Based on the information provided, the total comes to 340 euros, of which 40 are shipping.",
    "Dear Ms Ortiz,\n\nThank you for the draft.",
    "Scenario planning helps here: write down what you would do if the sale fell through, and what if it closed early.",
    "Assistant coaches are paid less, and they do most of the film work. Ask for both to be written down.",
    "I have been asked to keep the list short, so I will name only the three that matter. The first is the roof.",
    "Follow the guidelines of your union here; they name the person to write to, and the deadline.",
    "You asked for an honest opinion. The plot is thin, the people are alive, and the ending is earned.",
    "Sure! A haiku about rain: drops on the tin roof, each one asks the same question, and then answers it.",
    "Great, here is the recipe: two eggs, a cup of flour, a pinch of salt. Whisk, rest for ten minutes, and fry.",
    "I hope this follows from what we said: the fault was mine, and the repair is mine to pay for.",
    "As an apprentice you are owed the same break as everybody else. Ask the foreman, and name the paragraph.",
    "The user interface is slow because every click loads the whole table. Load a page of it, and it will be quick.",
    "The user wants a receipt, and the shop is bound to give one. So print it, and say you are sorry for the wait.",
    "Response: the cells swell, because water follows the salt. That is all osmosis is.",
    "I should have asked before I moved your desk. It is back where it was, and the lamp is on its left again.",
    "I should respond to her letter today. Let me write it by hand, because she would like that.",
    "Let me write that down for you: platform four, ten past six, and change at the second stop.",
    'Here\'s an example of a sentence with a subordinate clause: "I left because it rained."',
    "Here is an answer in one word: no. The longer one is that nobody has looked yet.",
    "Based on your instructions to the bank, the transfer will run on the first of the month.",
    "As instructed by the doctor, take one in the morning and one at night. Do not skip a day because you feel well.",
    "Following your accident, the insurer has six weeks to answer. Write the date down, and call on the day after.",
    "Explanation: the moon's shadow falls on the earth, and only those who stand in it see the sun go dark.",
    "Note: I have not tried this on Windows. On Linux it works as it stands.",
    "Reasoning: if all cats are animals and Tom is a cat, Tom is an animal.",
    "I'm an airline steward, an honest one, and I would not fly with them. That is all I can say.",
    "I am a languages teacher, so let me say it in French first. Then we take it apart, word by word.",
    "Is there anything you would like me to change in the contract? The clause on pets can still go.",
    "Please let me know if you would like any changes to the menu. We order on Thursday.",
    "Feel free to ask for another version of the contract if the notary wants one.",
    "To finish the task I need two things of you: the key to the shed, and an hour of your Saturday.",
    "The instructions ask for size 4 needles, but size 5 gives you a softer scarf. Try ten rows of each.",
    "AI is a branch of computer science. It builds systems that do what we would call thinking if a person did it.",
    "This reply reflects badly on the firm. Call her, take back the second sentence, and send the cheque.",
    "This response took courage. I would only add that the third paragraph blames a man who cannot answer.",
    "My instructions were to wait at the gate, and I left. That is on me, and I will tell the coach so.",
    "Word count matters less than you think. An editor reads the first page, and then knows.",
    "Wikipedia says that the model was trained by OpenAI in 2020. The paper gives the number of words.",
)
"""Answers about instructions, prompts, models and texts, which are none."""

TAKEN_FOR_LEAKS = (
    "Context: the treaty was signed in 1648, after thirty years of war. That is why the borders look as they do.",
    "Here is a version that is shorter by half. It says the same, and nobody has to scroll.",
    "User: a person who works with a program. Administrator: the one who decides what that person may do.",
)


def reasons(texts: tuple[str, ...]) -> list[str | None]:
    turns = [[{"role": "user", "content": "What now?"}, {"role": "assistant", "content": text}] for text in texts]
    frame = pl.DataFrame({"id": [str(row) for row in range(len(texts))], "messages": turns})
    return form(frame, because=None, finish_reason=None)["reason"].to_list()


@pytest.mark.parametrize("text", LEAKS)
def test_a_leak_is_found(text: str) -> None:
    assert reasons((text.format(said=SAID),)) == ["leaked_instruction"]


@pytest.mark.parametrize("text", HONEST)
def test_an_honest_answer_is_kept(text: str) -> None:
    assert reasons((text,)) == [None]


def test_what_is_not_seen_and_what_is_taken_for_a_leak_is_known() -> None:
    assert set(reasons(tuple(text.format(said=SAID) for text in NOT_SEEN))) == {None}
    assert set(reasons(TAKEN_FOR_LEAKS)) == {"leaked_instruction"}


def test_no_answer_of_a_published_corpus_is_taken_for_a_leak() -> None:
    path = DATA / "alpaca_5000.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there: these are real answers that the project does not ship")
    texts = tuple(row["output"] for row in json.loads(path.read_text(encoding="utf-8")))
    assert reasons(texts).count("leaked_instruction") == 0
