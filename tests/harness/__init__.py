# SPDX-License-Identifier: Apache-2.0
"""What the whole-process tests are made of: real programs, scripted origins, clients that see every byte.

processes   starts edge and origin-shim, waits for their `ready` lines, examines their last words
origin      an origin that follows a script, byte by byte
library     objects of many sizes, each with bytes of its own
client      one connection, one exact exchange after another
herd        thousands of viewers in one thread
browser     a real player on the demo's page
counters    waits for what /stats counts
certificates  an authority of the test's own

Nothing here sleeps for a fixed time: every wait is for an event, and has a deadline.
"""
