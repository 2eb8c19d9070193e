# SPDX-License-Identifier: Apache-2.0
"""What the side-by-side benchmarks share.

stage     where they run: a network of their own, two cores, a folder
servers   the edge and its peers, each configured as its makers recommend; the floor
origins   what fills them: a fast origin, and one that takes its time
measure   loads, and what a server's processes spend on them
report    tables with ratios, and the same as JSON
"""
