# SPDX-License-Identifier: Apache-2.0
"""Enough of an HLS parser to judge what the programs write; its own, so that it cannot share a fault with theirs."""
import re


class Segment:
    def __init__(self, uri, msn, tags):
        self.uri, self.msn, self.tags = uri, msn, tags
        self.duration_s = float(tags["EXTINF"].split(",")[0])
        self.discontinuity = "EXT-X-DISCONTINUITY" in tags
        self.program_date_time = tags.get("EXT-X-PROGRAM-DATE-TIME")


class MediaPlaylist:
    def __init__(self, data):
        lines = bytes(data).decode("utf-8").splitlines()
        assert lines[0] == "#EXTM3U", lines[0]
        self.header, self.segments, self.ended = {}, [], False
        tags = {}
        for line in filter(None, lines[1:]):
            if not line.startswith("#"):
                self._add(line, tags)
                tags = {}
            elif line == "#EXT-X-ENDLIST":
                self.ended = True
            elif match := re.fullmatch(r"#(EXT[A-Z0-9-]*)(?::(.*))?", line):
                tags[match[1]] = match[2] or ""

    def _add(self, uri, tags):
        if not self.segments:
            self.header = dict(tags)
        self.segments.append(Segment(uri, self.media_sequence + len(self.segments), tags))

    @property
    def media_sequence(self):
        return int(self.header.get("EXT-X-MEDIA-SEQUENCE", "0"))

    @property
    def discontinuity_sequence(self):
        return int(self.header.get("EXT-X-DISCONTINUITY-SEQUENCE", "0"))

    @property
    def target_duration_s(self):
        return int(self.header["EXT-X-TARGETDURATION"])
