# SPDX-License-Identifier: Apache-2.0
"""How long ``sockwatch sockets`` takes, against ss and lsof on the same sockets, and how it grows.

All sockets are made in a network namespace of this benchmark's own, and send nothing.
"""

import contextlib
import resource
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator

import measure

FEW, MANY = 15_000, 100_000
A_PROCESS_HOLDS = 15_000
# as ss and lsof: what else this machine has is not listed
LISTING = [measure.SOCKWATCH, "sockets", "-N", "self", "--udp", "--json"]
COMMANDS = {
    "sockwatch": LISTING,
    "its interpreter's start": [sys.executable, "-c", ""],
    "ss": ["ss", "-unap"],
    "lsof": ["lsof", "-nP", "-iUDP"],
}


def hold(first: int, number: int) -> None:
    """Holds connected UDP sockets until standard input ends; each address has many ports."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    for i in range(first, first + number):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"127.{i // A_PROCESS_HOLDS + 1}.0.1", 0))
        sock.connect(("127.0.0.5", 9))
        held.append(sock)
    print("ready", flush=True)
    sys.stdin.read()


@contextlib.contextmanager
def sockets(total: int) -> Iterator[None]:
    """In processes of 15,000 each."""
    with contextlib.ExitStack() as cleanup:
        for first in range(0, total, A_PROCESS_HOLDS):
            number = min(A_PROCESS_HOLDS, total - first)
            argv = [sys.executable, __file__, "hold", str(first), str(number)]
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            cleanup.enter_context(process)  # closes its standard input, and waits
            if not process.stdout.readline():
                sys.exit("bench: the sockets cannot be made: is the limit of open files too low?")
        yield


Costs = dict[str, list[measure.Cost]]


def compare(runs: int) -> Costs:
    """One after the other in each run."""
    costs: Costs = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, argv in COMMANDS.items():
            costs[name].append(measure.run(argv))
    print(f"{FEW:,} connected UDP sockets in one process, {runs} runs, seconds:")
    for name in COMMANDS:
        print(f"  {name:24} {measure.spread([cost.wall for cost in costs[name]], 3)}")
    ours = [cost.wall for cost in costs["sockwatch"]]
    for name, bar in (("ss", 0.8), ("lsof", 0.25)):
        ratios = measure.ratios(ours, [cost.wall for cost in costs[name]])
        print(f"  sockwatch / {name:12} {measure.spread(ratios)}   bar: {bar}")
    return costs


def grow(runs: int, few: list[measure.Cost]) -> list[measure.Cost]:
    """With many sockets."""
    many = [measure.run(LISTING) for _ in range(runs)]
    times = MANY / FEW
    growth = statistics.median(cost.wall for cost in many) / statistics.median(
        cost.wall for cost in few
    )
    print(f"{MANY:,} sockets:")
    print(f"  seconds                  {measure.spread([cost.wall for cost in many], 3)}")
    print(f"  growth                   {growth:.2f} times the time for {times:.2f} times as many")
    print(f"  memory, MB               {measure.spread([cost.memory / 1e6 for cost in many], 0)}")
    return many


def main() -> None:
    """Argument: how many runs (5)."""
    if sys.argv[1:2] == ["hold"]:
        hold(*map(int, sys.argv[2:]))
        return
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    runs = measure.asked_runs()
    with sockets(FEW):
        costs = compare(runs)
    with sockets(MANY):
        many = grow(runs, costs["sockwatch"])
    named = {**costs, f"sockwatch, {MANY:,}": many}
    measure.save("sockets", {name: [one._asdict() for one in of] for name, of in named.items()})


if __name__ == "__main__":
    main()
