"""Stands for ``smbrl train`` and ``resume`` where a test is about who starts them, not about learning."""

import textwrap

FAKE = textwrap.dedent(
    """
    import json, os, pathlib, signal, sys, time
    words = sys.argv[1:]
    if words[0] == "train":
        folder = pathlib.Path(words[words.index("--run-dir") + 1])
        folder.mkdir(parents=True)
        gin = [words[i + 1] for i, w in enumerate(words) if w == "--gin"]
        over = [words[i + 1] for i, w in enumerate(words) if w == "--set"]
        seed = int(words[words.index("--seed") + 1])
        info = {"format": 1, "gin": gin, "overrides": over, "seed": seed, "calls": 0, "task": "T", "seconds": {}}
        (folder / "config.gin").write_text("A.x = 1\\nOnline.steps = 100\\nTracking.experiment = ''\\n")
    else:
        folder = pathlib.Path(words[1])
        info = json.loads((folder / "run.json").read_text())
    def save(state):
        info["state"] = state
        (folder / "run.json").write_text(json.dumps(info))
    info["calls"] += 1
    info["threads"] = os.environ.get("OMP_NUM_THREADS")
    save("running")
    trouble = next((t.split("=")[1] for t in info["overrides"] if t.startswith("trouble=")), "")
    if "c" in info["gin"] and info["calls"] == 1:
        trouble = "fail"
    if trouble == "once" and info["calls"] > 1:
        trouble = ""
    if trouble in ("fail", "once"):
        print("error: no luck", file=sys.stderr)
        save("failed")
        sys.exit(2)
    if trouble == "kill" and info["calls"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "diverge":
        info["error"] = "a loss is nan"
        save("diverged")
        sys.exit(2)
    if trouble in ("sleep", "stopped"):
        try:
            if trouble == "stopped" and info["calls"] == 1:
                raise KeyboardInterrupt
            for _ in range(600 if trouble == "sleep" and info["calls"] == 1 else 0):
                time.sleep(0.1)
        except KeyboardInterrupt:
            save("interrupted")
            sys.exit(130)
    values = dict(t.split("=", 1) for t in info["overrides"])
    value = float(values.get("A.x", 0)) + info["seed"]
    line = {"step": 100, "phase": "eval", "wall": time.time(), "eval/return": value, "eval/success": 0.0}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\\n")
    info["step"] = 100
    save("finished")
    """
)
