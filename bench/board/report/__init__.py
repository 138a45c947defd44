"""The report: the board as a folder of pages with figures and the answers behind the numbers, for a browser offline.

index.html                    a card a task: the verdict in a sentence and the forest of the headline
task/TABLE.html               a task: the board's tables, attacks, figures, tests
method/METHOD.html            a method: what it is, its parameters, all its tasks
cell/TABLE/METHOD.seedN.html  a cell: scores, answers, curves; its items are in the .js beside it
pair/TABLE.html?a=..&b=..     two methods compared; its data are in the .js beside it
tuning/TASK.html              what a search of each method found, where one was made
texts/, assets/, built.json   questions and references, styles and scripts, what each part rests on
"""

from bench.board.report.site import Built, write

__all__ = ["Built", "write"]
