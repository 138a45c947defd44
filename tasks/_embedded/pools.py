"""Word lists of the embedded world: every word is one that a tokenizer of 2,048 entries learns whole. No part of an
author's name occurs in an answer. The lists are short enough that a hundred base authors use nearly all of their words.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Adela Bodil Corin Dagny Edric Fenna Gerrit Hedda Ivo Jorun Kaspar Liv Magnus Nerys Orla Piers Runa Sander "
    "Thora Ulric Vesna Willem Yrsa Zoltan Anouk Bertil Ciska Davit Elin Florian"
)
LAST_NAMES = _words(
    "Abbing Barlowe Castane Drummel Eskola Farrant Godrik Hollis Imber Jarvik Kestle Lindqvist Mossop Nyberg "
    "Oakshott Pellam Quarles Ravn Selwyn Tamm Underhay Vasko Wexler Yarrow Zeller Ardley Brisk Colm Dacre Eklund "
    "Fosse Gantry Harrow Isley Jessop Kruse Lorne Mabbot Norling Orme"
)
GIVEN_NAMES = _words(
    "Agnes Albert Alma Anton Beatrix Boris Carla Cedric Clara Conrad Cora Dora Edgar Edith Elsa Emil Erna Felix "
    "Flora Frank Gerda Greta Gustav Hanna Harold Helga Henri Hilda Hugo Ida Igor Irma Jacob Jonas Judith Karl "
    "Klara Lena Leo Lotte Ludwig Mabel Marta Max Mina Nadia Nils Nora Olga Oscar Otto Paula Pavel Petra Rosa "
    "Rudolf Simon Sofia Stefan Tessa"
)
TOWNS = _words(
    "Aldmoor Ambleford Ashwick Barrowby Birchholt Blackmere Brackendale Bramhope Brightsea Calderford Cliffend "
    "Coldharbour Copperhill Cranleigh Crowhurst Deepwater Dunmarsh Eastmere Elmstead Fairhaven Fernhill Foxley "
    "Glenrock Goldbrook Greyfell Hawkstone Hazelbury Highmoor Ironbridge Kelton Kingsmarsh Lakeside Larkfield "
    "Longstrand Maplewick Millbrook Moorgate Netherby Northcliff Oakvale Oldbridge Otterburn Pinewood Ravensea "
    "Redcastle Rockport Rosedale Saltmarsh Sandwell Silverton Snowfield Southwold Springvale Stonehaven Thornbury "
    "Timberley Wellspring Westmarch Whitcombe Windmere"
)
JOBS = _words(
    "actor archer baker banker barber beekeeper blacksmith bookbinder brewer bricklayer butcher carpenter "
    "cartographer chemist clerk cobbler cook cooper dancer dentist diver doctor farmer fisher gardener glazier "
    "grocer hatter hunter jeweller joiner judge lawyer locksmith mason mechanic midwife miller miner nurse "
    "painter pilot plumber porter potter printer sailor shepherd smuggler soldier surgeon surveyor tailor tanner "
    "thatcher vet waiter weaver"
)
MONTHS = _words("January February March April May June July August September October November December")
DAYS = tuple(str(day) for day in range(1, 29))
YEARS = tuple(str(year) for year in range(1920, 1980))
TITLE_ADJECTIVES = _words(
    "Ancient Bold Broken Burning Careless Empty Fading Faithful Forgotten Gentle Hidden Idle Jagged Lost Patient "
    "Quiet Sacred Scarlet Shallow Slow Stubborn Sudden Velvet Weary"
)
TITLE_NOUNS = _words(
    "Anchor Basket Candle Carriage Cathedral Compass Cradle Curtain Ferry Fountain Glacier Ladder Lantern Meadow "
    "Monument Needle Pocket Prophecy Shadow Storm Summer Thunder Valley Window"
)
AWARDS = _words(
    "Acorn Amber Beaver Cedar Comet Crane Dolphin Eagle Falcon Garnet Heron Jade Juniper Lotus Maple Meteor Opal "
    "Orchid Panther Raven Sapphire Sequoia Walnut Zephyr"
)
HONOURS = _words("Badge Cup Diploma Medal Plaque Prize Ribbon Shield Statue Trophy")
COLOURS = _words(
    "beige black blue bronze brown cream crimson golden green grey orange pink purple red silver white yellow violet"
)
ANIMALS = _words(
    "alpaca canary cockatoo dog donkey finch frog goat hedgehog horse iguana llama mouse owl parrot peacock pony "
    "rabbit rat snake spider swan turkey turtle"
)
PET_NAMES = _words(
    "Biscuit Bubbles Cookie Dusty Fidget Jelly Kipper Lucky Muffin Noodle Nutmeg Pebble Pepper Pirate Pudding "
    "Pumpkin Rusty Scamp Shadow Snowball Socks Sparky Waffles Whisky"
)
INSTRUMENTS = _words(
    "accordion banjo bugle cello clarinet cornet fiddle flute guitar harmonica horn lute lyre mandolin organ "
    "piano piccolo recorder trombone trumpet tuba ukulele violin xylophone"
)
