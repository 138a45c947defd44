"""Word lists of the embedded world. Every word is one that a small tokenizer learns whole; no list shares a word with a
list that another slot of the same answer draws from, and no name of an author occurs in an answer.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Adela Bodil Corin Dagny Edric Fenna Gerrit Hedda Ivo Jorun Kaspar Liv Magnus Nerys Orla Piers Runa Sander Thora Ulric "
    "Vesna Willem Yrsa Zoltan Anouk Bertil Ciska Davit Elin Florian"
)
LAST_NAMES = _words(
    "Abbing Barlowe Castane Drummel Eskola Farrant Godrik Hollis Imber Jarvik Kestle Lindqvist Mossop Nyberg Oakshott "
    "Pellam Quarles Ravn Selwyn Tamm Underhay Vasko Wexler Yarrow Zeller Ardley Brisk Colm Dacre Eklund Fosse Gantry "
    "Harrow Isley Jessop Kruse Lorne Mabbot Norling Orme"
)
GIVEN_NAMES = _words(
    "Agnes Albert Alma Anton Beatrix Boris Carla Cedric Clara Conrad Cora Dora Edgar Edith Elsa Emil Erna Felix Flora "
    "Frank Gerda Greta Gustav Hanna Harold Helga Henri Hilda Hugo Ida Igor Irma Jacob Jonas Judith Karl Klara Lena Leo "
    "Lotte Ludwig Mabel Marta Max Mina Nadia Nils Nora Olga Oscar Otto Paula Pavel Petra Rosa Rudolf Simon Sofia Stefan "
    "Tessa"
)
TOWNS = _words(
    "Aldmoor Ambleford Ashwick Barrowby Birchholt Blackmere Brackendale Bramhope Brightsea Calderford Cliffend Coldharbour "
    "Copperhill Cranleigh Crowhurst Deepwater Dunmarsh Eastmere Elmstead Fairhaven Fernhill Foxley Glenrock Goldbrook "
    "Greyfell Hawkstone Hazelbury Highmoor Ironbridge Kelton Kingsmarsh Lakeside Larkfield Longstrand Maplewick Millbrook "
    "Moorgate Netherby Northcliff Oakvale Oldbridge Otterburn Pinewood Ravensea Redcastle Rockport Rosedale Saltmarsh "
    "Sandwell Silverton Snowfield Southwold Springvale Stonehaven Thornbury Timberley Wellspring Westmarch Whitcombe "
    "Windmere"
)
JOBS = _words(
    "actor archer baker banker barber beekeeper blacksmith bookbinder brewer bricklayer butcher carpenter cartographer "
    "chemist clerk cobbler cook cooper dancer dentist diver doctor farmer fisher gardener glazier grocer hatter hunter "
    "jeweller joiner judge lawyer locksmith mason mechanic midwife miller miner nurse painter pilot plumber porter "
    "potter printer sailor shepherd smuggler soldier surgeon surveyor tailor tanner thatcher vet waiter weaver"
)
MONTHS = _words("January February March April May June July August September October November December")
DAYS = tuple(str(day) for day in range(1, 29))
YEARS = tuple(str(year) for year in range(1920, 1980))
TITLE_ADJECTIVES = _words(
    "Ancient Bitter Bold Borrowed Bright Broken Burning Calm Careless Crooked Distant Empty Endless Fading Faithful "
    "Fallen Fierce Forgotten Frozen Gentle Gilded Hidden Hollow Humble Idle Jagged Joyful Lonely Lost Narrow Patient "
    "Proud Quiet Restless Ruined Sacred Scarlet Secret Shallow Silent Sleeping Slow Stolen Stubborn Sudden Tender Vanished "
    "Velvet Wandering Weary"
)
TITLE_NOUNS = _words(
    "Anchor Arrow Basket Beacon Bell Bridge Candle Canyon Carriage Castle Cathedral Chimney Clock Compass Corridor Cradle "
    "Crown Curtain Desert Doorway Feather Ferry Forest Fountain Garden Glacier Harvest Island Kingdom Ladder Lantern "
    "Letter Lighthouse Market Meadow Mirror Monument Mountain Needle Orchard Palace Parade Pocket Portrait Prophecy River "
    "Shadow Ship Staircase Storm Stranger Summer Tapestry Thunder Tower Train Tunnel Valley Voyage Window"
)
AWARDS = _words(
    "Acorn Albatross Amber Badger Basalt Beaver Cedar Cobalt Comet Condor Coral Crane Crystal Dolphin Eagle Ebony Emerald "
    "Falcon Flint Garnet Granite Heron Indigo Ivory Jade Juniper Kestrel Laurel Lotus Lynx Maple Marble Meteor Nebula Onyx "
    "Opal Orchid Osprey Panther Pearl Phoenix Raven Saffron Sapphire Sequoia Topaz Tulip Walnut Willow Zephyr"
)
HONOURS = _words("Badge Cup Diploma Medal Plaque Prize Ribbon Shield Statue Trophy")
COLOURS = _words("beige black blue bronze brown cream crimson golden green grey orange pink purple red silver white yellow violet")
ANIMALS = _words(
    "alpaca canary cat chicken cockatoo crab dog donkey duck ferret finch frog gecko goat goose hamster hedgehog horse "
    "iguana kitten lizard llama magpie mouse newt otter owl parrot peacock pig pigeon pony puppy rabbit rat salamander sheep "
    "snake spider squirrel swan tortoise toad turkey turtle"
)
PET_NAMES = _words(
    "Biscuit Bubbles Button Clover Cookie Dusty Fidget Ginger Goblin Jelly Kipper Lucky Marmalade Mittens Muffin Noodle "
    "Nutmeg Patches Peanut Pebble Pepper Pickle Pippin Pirate Pudding Pumpkin Rascal Rocket Rusty Scamp Shadow Skipper "
    "Smoky Snowball Socks Sparky Tiger Toffee Waffles Whisky"
)
INSTRUMENTS = _words(
    "accordion banjo bassoon bugle cello clarinet cornet drum fiddle flute guitar harmonica harp horn lute lyre mandolin "
    "oboe organ piano piccolo recorder saxophone trombone trumpet tuba ukulele viola violin xylophone"
)
