"""The example's page with 10,000 tasks."""

from statistics import median, quantiles
from typing import Any

import pytest

from tests.example.browser import Person, did
from tests.example.stack import Stack

pytestmark = pytest.mark.parts

MANY = 10_000
# Scroll until all tasks are loaded. Return the times between frames, in milliseconds.
SCROLL = """async (many) => {
  const frames = []
  let last = performance.now()
  while (document.querySelectorAll("#tasks li").length < many) {
    window.scrollBy(0, 2000)
    await new Promise(requestAnimationFrame)
    const now = performance.now()
    frames.push(now - last)
    last = now
  }
  return frames
}"""
FRAMES = """async (act) => {
  const element = eval(act)
  const frames = []
  let last = performance.now()
  for (let frame = 0; frame < 60; frame++) {
    if (frame % 10 === 0) element(frame)
    await new Promise(requestAnimationFrame)
    const now = performance.now()
    frames.push(now - last)
    last = now
  }
  return frames
}"""
ACTS = {
    "scrolling through all": "frame => window.scrollTo(0, frame * 9000)",
    "ticking": "frame => document.querySelectorAll('#tasks .tick input')[frame * 100].click()",
}


# Metrics in seconds: https://chromedevtools.github.io/devtools-protocol/tot/Performance/
PARTS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
TIMES = 6  # how often FRAMES calls the action


def cpu_times(devtools: Any) -> dict[str, float]:
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in metrics}


def test_ten_thousand_tasks_load_and_respond(alice: Person, running: Stack) -> None:
    running.add_many(alice.email, MANY)
    alice.page.reload()
    alice.reads(f"0 of {MANY} done")
    frames = {"loading all": alice.page.evaluate(SCROLL, MANY)}
    assert alice.shows() == [str(number) for number in range(MANY, 0, -1)]
    devtools = alice.context.new_cdp_session(alice.page)
    devtools.send("Performance.enable")
    for name, act in ACTS.items():
        before = cpu_times(devtools)
        frames[name] = alice.page.evaluate(FRAMES, act)
        after = cpu_times(devtools)
        spent = {part: round((after[part] - before[part]) * 1000 / TIMES, 1) for part in PARTS}
        did(f"{MANY} tasks, {name}: CPU time of each in ms: {spent}")
    alice.reads(f"6 of {MANY} done")
    alice.is_saved()
    for name, times in frames.items():
        p95 = quantiles(times, n=20)[-1]
        did(f"{MANY} tasks, {name}: {median(times):.0f} ms a frame, p95 {p95:.0f} ms")
