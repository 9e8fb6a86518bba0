#!/usr/bin/python3
"""What a frame costs the engine, against ports and against addresses: a table, and a plot as SVG,
of bm_forward in what dataplane_bench wrote as JSON. Run by `./dev bench engine`.
"""

import json
import subprocess
import sys
from pathlib import Path

BATCH_FRAMES = 64
USUAL_ADDRESSES = 1000
PORTS = (2, 1024)
PLOT = """
set terminal svg size 900,380 font "sans-serif,13" background "white"
set output "{output}"
set multiplot layout 1,2
set logscale x
set yrange [0:{ceiling}]
set ylabel "ns a frame"
set grid
set key bottom right
set style data linespoints
set xlabel "ports"
set xrange [1.5:1400]
set xtics (2, 16, 64, 256, 1024)
plot "-" using 1:2 linewidth 2 pointtype 7 title "{usual:,} addresses"
{by_ports}
e
set xlabel "addresses"
set xrange [700:1400000]
set xtics ("1k" 1000, "16k" 16384, "64k" 65536, "256k" 262144, "1M" 1000000)
plot {titles}
{by_addresses}
"""


def read(path):
    """{(ports, addresses): ns a frame}: the least of the repetitions, which others disturb least."""
    least = {}
    for run in json.loads(path.read_text())["benchmarks"]:
        words = run["name"].split("/")
        if words[0] != "bm_forward" or run["run_type"] != "iteration":
            continue
        ports, addresses = (int(word.split(":")[1]) for word in words[1:3])
        ns = run["cpu_time"] / BATCH_FRAMES
        least[ports, addresses] = min(ns, least.get((ports, addresses), ns))
    return least


def points(pairs):
    return "\n".join(f"{x} {y:.2f}" for x, y in sorted(pairs))


def draw(least, output):
    by_ports = points((ports, ns) for (ports, addresses), ns in least.items()
                      if addresses == USUAL_ADDRESSES)
    by_addresses = "\n".join(
        points((addresses, ns) for (ports, addresses), ns in least.items()
               if ports == wanted and addresses >= USUAL_ADDRESSES) + "\ne" for wanted in PORTS)
    titles = ", ".join(f'"-" using 1:2 linewidth 2 pointtype 7 title "{ports:,} ports"'
                       for ports in PORTS)
    ceiling = 20 * (max(least.values()) // 20 + 1)
    subprocess.run(["gnuplot"], check=True, text=True,
                   input=PLOT.format(output=output, ceiling=ceiling, usual=USUAL_ADDRESSES,
                                     by_ports=by_ports, titles=titles, by_addresses=by_addresses))


def main():
    source, output = (Path(word) for word in sys.argv[1:])
    least = read(source)
    print("\n| ports | addresses | ns a frame |\n|---|---|---|")
    for (ports, addresses), ns in sorted(least.items()):
        print(f"| {ports:,} | {addresses:,} | {ns:.1f} |")
    draw(least, output)
    print(f"\nplot: {output}")


if __name__ == "__main__":
    main()
