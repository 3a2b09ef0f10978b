"""Prompts for the starter corpus: subjects x forms, with forced openings.

A small teacher left to itself falls back on few openings and few plots. Each
prompt therefore fixes a subject, a form and often the first words of the
answer; the product of the lists is far larger than the corpus.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

# A plural subject is marked with "*", so that openings get the right verb.
EVERYDAY = """
breakfast, laundry, sleep, shopping, a morning routine, saving money, cleaning the house, a birthday
party, moving to a new home, good manners, walking to work, riding a bicycle, a first apartment, a long
train ride, learning to drive, waiting in line, a rainy Sunday, small talk, a lost key, a power cut,
friendship, neighbours*, pets*, weekends*, old photographs*, house plants*, shoes*, letters*, families*,
holidays*, toys*, dogs*, cats*, clothes*, umbrellas*, habits*, parents*, grandparents*, chores*
"""
NATURE = """
the river, the ocean, the moon, the sun, rain, snow, the wind, a forest, a desert, a mountain, the sky,
soil, a garden, spring, winter, autumn, summer, lightning, a coral reef, the water cycle, photosynthesis,
climate change, a volcano, an earthquake, evolution, pollination, rivers*, lakes*, trees*, birds*, bees*,
whales*, wolves*, elephants*, horses*, flowers*, mushrooms*, clouds*, stars*, insects*, fish*, seeds*,
butterflies*, islands*, waves*, owls*, spiders*, glaciers*, wetlands*, caves*, bears*, frogs*
"""
FOOD = """
bread, soup, rice, coffee, tea, cheese, chocolate, a simple salad, tomato sauce, olive oil, salt, sugar,
honey, baking a cake, cooking for friends, a family recipe, fermentation, a farmers' market, pasta, fried
rice, an omelette, yoghurt, a kitchen knife, school lunch, street food, garlic, ginger, roasting a chicken,
apples*, potatoes*, beans*, spices*, eggs*, vegetables*, pancakes*, onions*, lemons*, restaurants*, noodles*
"""
WORK = """
a job interview, teamwork, a first day at work, managing time, writing a clear email, a small business,
a busy hospital, a repair shop, customer service, leadership, feedback, working from home, a meeting that
ran too long, a promotion, a deadline, retirement, project planning, trust at work, marketing, accounting,
a carpenter, a bakery, a bus driver, a farm, a factory, a post office, a library, a shop owner, trade,
money, banks*, nurses*, teachers*, firefighters*, farmers*, engineers*, builders*, taxes*, prices*, markets*
"""
HISTORY = """
the printing press, the Roman Empire, ancient Egypt, ancient Greece, the Silk Road, the Middle Ages, the
Industrial Revolution, the first railway, the history of writing, the history of money, the telegraph, the
steam engine, the compass, the age of sail, the invention of paper, the history of bread, democracy, the
first cities, the moon landing, the history of medicine, the telephone, a medieval village, the calendar,
the right to vote, an old castle, archaeology, pyramids*, explorers*, libraries of the past*, bridges*,
ancient roads*, museums*, lighthouses*, canals*, old maps*, clocks*, windmills*
"""
ARTS = """
music, jazz, the piano, the violin, the guitar, a choir, rhythm, painting, photography, theatre, dance,
poetry, a good novel, drawing, sculpture, architecture, film, a local band, a school play, folk music,
pottery, storytelling, opera, practising an instrument, colour, design, fairy tales*, drums*, songs*,
comics*, museums of art*, books*, concerts*, lyrics*
"""
BODY = """
exercise, running, swimming, football, yoga, chess, a healthy diet, stress, memory, the heart, the brain,
vaccination, first aid, a good night's rest, hiking, tennis, the immune system, breathing, attention,
kindness, patience, courage, curiosity, fear, happiness, honesty, forgiveness, confidence, language,
vitamins*, muscles*, teeth*, bones*, emotions*, dreams*, games*, athletes*, doctors*, hospitals*
"""
PLACES = """
a small village, a big city, a train station, an airport, a harbour, the old town, a school, a playground,
a beach, the countryside, public transport, a bridge over a river, a mountain hut, a market square,
traffic, recycling, clean water, electricity, a hotel, travelling alone, a road trip, camping, a map,
parks*, streets*, trains*, ships*, airplanes*, bicycles*, tourists*, cities*, roads*, houses*
"""
SCIENCE = """
gravity, light, sound, magnetism, electricity, the atom, the periodic table, DNA, energy, the scientific
method, an experiment, a microscope, a telescope, chemistry, physics, biology, mathematics, geometry,
probability, statistics, a hypothesis, peer review, research, the speed of light, a black hole, the solar
system, astronomy, medicine, genetics, ecology, geology, temperature, pressure, friction, measurement,
scientific research, a laboratory, graph theory, algebra, a research paper, cells*, bacteria*, viruses*,
planets*, comets*, chemical reactions*, proteins*, scientists*, galaxies*, crystals*, prime numbers*, fossils*
"""
TECHNOLOGY = """
the internet, a computer, software, programming, Python, open source software, a database, a search engine,
the smartphone, email, encryption, a strong password, privacy, cloud computing, solar power, wind power,
an electric car, a battery, a satellite, the transistor, a robot, a sensor, virtual reality, the web
browser, an operating system, debugging, testing software, version control, a computer network, a video
game, a spreadsheet, the keyboard, a printer, user interface design, cybersecurity, computer science,
an algorithm, sorting, recursion, compression, a compiler, a text editor, a file system, a terminal,
computers*, websites*, robots*, apps*, computer chips*, programmers*, drones*, bugs in software*, servers*
"""
AI = """
artificial intelligence, machine learning, deep learning, AI research, a neural network, a language model,
training data, a data set, overfitting, supervised learning, unsupervised learning, reinforcement learning,
computer vision, speech recognition, machine translation, a chatbot, AI safety, AI ethics, bias in data,
data science, data cleaning, a decision tree, linear regression, gradient descent, the learning rate,
a loss function, evaluation of a model, fine-tuning a model, a pretrained model, natural language
processing, tokenization, the attention mechanism, a recommendation system, self-driving technology,
explainable AI, AI in medicine, AI in education, generalization, a benchmark, open data, data analysis,
reproducible research, a training run, a validation set, transfer learning, text generation,
neural networks*, language models*, machine learning models*, data scientists*, AI researchers*,
large data sets*, transformers in machine learning*, word embeddings*, AI systems*, algorithms*
"""
SOCIETY = """
education, a good teacher, reading, writing, homework, a university, learning a language, law, fairness,
voting, a charity, volunteering, a newspaper, advertising, culture, a festival, tradition, a wedding,
freedom, peace, the economy, poverty, health care, housing, news, a community garden, public speaking,
critical thinking, teamwork in school, human rights*, laws*, students*, exams*, children*, museums*, rules*,
elections*, communities*, immigrants*, questions*
"""

# Technology, science and AI are drawn more often than the rest: people who
# try a fine-tuning tool like to type prompts from these fields.
DOMAINS = [
    (EVERYDAY, 3), (NATURE, 4), (FOOD, 3), (WORK, 3), (HISTORY, 3), (ARTS, 3),
    (BODY, 3), (PLACES, 3), (SCIENCE, 5), (TECHNOLOGY, 5), (AI, 6), (SOCIETY, 3),
]  # fmt: skip

# (request, opening) with {s} subject, {S} capitalised, {is}/{does}/{has} verbs.
EXPOSITORY = [
    ("Explain {s} to a beginner in a few plain sentences.", ""),
    ("Explain {s} to a beginner in a few plain sentences.", "{S} {is}"),
    ("Explain in plain words what {s} {is}.", "{S} {is}"),
    ("Why {is} {s} important? Answer in a few sentences.", "{S} {is} important because"),
    ("Why {is} {s} important? Answer in a few sentences.", "{S} {is} important because"),
    ("Why {does} {s} matter? Answer in a few sentences.", "{S} matter{v}"),
    ("Write a few plain sentences about {s}.", "{S}"),
    ("Write a few plain sentences about {s}.", "{S} can"),
    ("Write a few plain sentences about {s}.", "{S} {has}"),
    ("Write a few plain sentences about {s}.", "Many people"),
    ("Write a few plain sentences about {s}.", "When we think of {s}, we"),
    ("Write a few plain sentences about {s}.", "There are many"),
    ("Tell me some facts about {s} in plain sentences, without a list.", ""),
    ("Tell me some facts about {s} in plain sentences, without a list.", "Did you know that"),
    ("How {does} {s} work? Answer in plain sentences.", ""),
    ("How {does} {s} work? Answer in plain sentences.", "To understand {s},"),
    ("How did {s} change people's lives?", "Over the years, {s}"),
    ("How did {s} change people's lives?", "Before"),
    ("What is the history of {s}?", "The history of {s}"),
    ("What is a common mistake about {s}?", "One common mistake"),
    ("What is the future of {s}?", "In the future, {s}"),
    ("What is a problem with {s}, and how can it be solved?", "One problem with {s} is"),
    ("Give simple advice about {s} in plain sentences.", "If you want to"),
    ("Give simple advice about {s} in plain sentences.", "The best way to"),
    ("Give simple advice about {s} in plain sentences.", "First,"),
    ("Describe {s} so that a child understands.", "Imagine"),
    ("Describe {s} so that a child understands.", ""),
    ("Compare {s} with {t} in plain sentences.", ""),
    ("Compare {s} with {t} in plain sentences.", "{S} and {t}"),
    ("What does {s} have to do with {t}?", "The link between {s} and {t}"),
    ("Give your opinion on {s} with one reason.", "I think that {s}"),
    ("Give an example that shows what {s} {is}.", "For example,"),
    ("Describe a study about {s} and what it found.", "Researchers"),
    ("Describe a study about {s} and what it found.", "A new study"),
    ("Write a short news report about {s}.", "On {day}, "),
    ("Write a short news report about {s}.", "The city"),
]
QUESTIONS = [
    ("What {is} {s}?", "Question: What {is} {s}?\nAnswer:"),
    ("Why {is} {s} useful?", "Question: Why {is} {s} useful?\nAnswer:"),
    ("How can I learn more about {s}?", "Question: How can I learn more about {s}?\nAnswer:"),
    ("What should everyone know about {s}?", "Question: What should everyone know about {s}?\nAnswer:"),
]
PERSONAL = [
    ("Write a short letter to a friend about {s}.", "Dear {name},\n"),
    ("Write a short letter to a friend about {s}.", "Dear {name},\nThank you for"),
    ("Write a diary entry about {s}.", "Today I"),
    ("Write a diary entry about {s}.", "This morning"),
    ("Write about a memory of {s}.", "When I was a child,"),
    ("Write about a memory of {s}.", "I remember"),
    ("Write a short speech about {s}.", "Good evening, everyone."),
    ("Write a short dialogue between {name} and {other} about {s}.", '"'),
]
STORY_OPENINGS = """
She opened the door and|He opened the box and|{name} sat down at the table and|The old man looked at
It was raining when {name}|On the first day of spring,|The children ran to
"Where are you going?" asked {name}.|{name} had always wanted to|{name} had never seen
One evening, {name} and {other}|The train was late, so {name}|Nobody in the village knew
Every morning, {name}|The letter said that|She picked up the phone and|He closed the book and
The dog barked when|Last summer, {name}|At the end of the street,|The teacher asked {name} to
It was almost midnight when|They walked along the river and|The light went out, and|{name} found a small key
She smiled and said,|He turned around and|"I have an idea," said {name}.|The shop was quiet until
After the storm,|{name} and {other} had been friends for|The boat|My sister|My grandfather used to
We had just|I was walking home when|The cat jumped|Once there was a|In a quiet town,|The door was open, but
{name} was tired, but|The girl looked up and|The boy wanted to|The woman in the red coat
""".replace("\n", "|")
STORY_REQUESTS = [
    "Write a very short story about {s}.",
    "Write a very short story about {s} with a happy end.",
    "Write a very short story about {name} and {s}.",
    "Write a short scene about {s} with some dialogue.",
]
NAMES = """
Tom Anna Maria Ben Lucy Omar Ines Peter Nina Sam Clara David Mei Ravi Ruth Jack Ella Hugo Sofia Leo Amara
Daniel Grace Ivan Julia Karim Lena Martin Nora Oscar Paula Robert Sara Theo Vera Will Yuki Zoe Alice George
"""
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Prompt:
    """A request to the teacher and the words its answer must start with."""

    request: str
    opening: str


@dataclass(frozen=True)
class Subject:
    """A subject phrase and whether it takes plural verbs."""

    text: str
    plural: bool

    def words(self) -> dict[str, str]:
        """Values for the placeholders that depend on this subject."""
        return {
            "s": self.text,
            "S": self.text[0].upper() + self.text[1:],
            "is": "are" if self.plural else "is",
            "does": "do" if self.plural else "does",
            "has": "have" if self.plural else "has",
            "v": "" if self.plural else "s",
        }


def _subjects(block: str) -> list[Subject]:
    entries = [entry.strip() for entry in " ".join(block.split()).split(",")]
    return [Subject(entry.rstrip("*"), entry.endswith("*")) for entry in entries if entry]


def prompts(rng: random.Random) -> Iterator[Prompt]:
    """Yield prompts without end, drawn at random from subjects and forms."""
    domains = [_subjects(block) for block, _ in DOMAINS]
    weights = [weight for _, weight in DOMAINS]
    openings = [opening for opening in STORY_OPENINGS.split("|") if opening]
    names = NAMES.split()
    while True:
        domain = rng.choices(domains, weights)[0]
        subject, other = rng.choice(domain), rng.choice(domain)
        kind = rng.random()
        if kind < 0.58:
            request, opening = rng.choice(EXPOSITORY)
        elif kind < 0.63:
            request, opening = rng.choice(QUESTIONS)
        elif kind < 0.73:
            request, opening = rng.choice(PERSONAL)
        else:
            request, opening = rng.choice(STORY_REQUESTS), rng.choice(openings)
        first, second = rng.sample(names, 2)
        values = subject.words() | {
            "t": other.text, "name": first, "other": second, "day": rng.choice(DAYS),
        }  # fmt: skip
        yield Prompt(request.format(**values), opening.format(**values).rstrip(" "))
