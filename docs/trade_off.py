"""Forgetting against utility, a point a seed: run it where `results` lies, or paste it into a notebook."""

# %%
from itertools import cycle

import matplotlib.pyplot as plt

import bench

# %%
scores = bench.load_results("results").query("task == 'tofu:forget10' and model == 'tiny' and data == 'embedded'")
scores = scores[~scores["method"].str.contains("@")]  # without variants such as simu-graddiff@t=0.1
points = scores.pivot(index=["method", "seed"], columns="score", values=["value", "lo", "hi"])
figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
for marker, (method, of) in zip(cycle("o^sDv<>Pp"), points.groupby("method")):
    x, y = (of.xs(name, axis=1, level="score") for name in ("model_utility", "forget_quality"))
    spans = [[axis["value"] - axis["lo"], axis["hi"] - axis["value"]] for axis in (x, y)]
    axes.errorbar(x["value"], y["value"], spans[1], spans[0], fmt=marker, alpha=0.7, label=method)
axes.set(yscale="log", xlabel="model utility", ylabel="forget quality (p)", title="Up and to the right is better")
figure.legend(loc="outside right upper", fontsize="small")
figure.savefig("trade_off.png")
