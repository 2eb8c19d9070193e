# SPDX-License-Identifier: Apache-2.0
"""Objects of many sizes at a scripted origin, each with bytes of its own, so that any mix-up is seen.

    library = Library(server, [0, 1, 200, 65536])
    response = scene.get(library.paths[2])
    library.check(library.paths[2], response)
"""
from harness.origin import chunk, file_answer, head, last_chunk
from harness.scene import noise

_CHUNK_SIZE = 30000  # a size that divides nothing


class Library:
    """Half of the objects tell their size, half are chunked; all may be kept for long and have strong ETags."""

    def __init__(self, server, sizes, prefix="/o", fields=None):
        self.server, self.bodies = server, {}
        self.fields = {"Cache-Control": "max-age=1000", **(fields or {})}
        for size in sizes:
            self._add(f"{prefix}/{size}.ts", size, server.file)
            self._add(f"{prefix}/{size}-chunked.ts", size, self._file_in_chunks)

    @property
    def paths(self):
        return list(self.bodies)

    def _add(self, path, size, serve):
        self.bodies[path] = noise(size, path)
        serve(path, self.bodies[path], self.fields)

    def _file_in_chunks(self, path, data, fields):
        """Whole responses are chunked; ranges and conditions are answered as by any origin."""
        fields = {"ETag": f'"{path}"', **fields}

        def script(request):
            if "Range" in request.fields or "If-None-Match" in request.fields:
                return file_answer(request, data, fields)
            steps = [head(200, {**fields, "Transfer-Encoding": "chunked"})]
            steps += [chunk(data[at:at + _CHUNK_SIZE]) for at in range(0, len(data), _CHUNK_SIZE)]
            return [*steps, last_chunk()]
        self.server.on(path, script)

    def check(self, path, response):
        """The response is a 200 with exactly this object's bytes."""
        body = self.bodies[path]
        assert response.status == 200, f"{path}: {response.status} {bytes(response.body[:200])!r}"
        assert len(response.body) == len(body), f"{path}: {len(response.body)} bytes of {len(body)}"
        assert response.body == body, f"{path}: byte {_first_difference(response.body, body)} of {len(body)} differs"


def _first_difference(one, other):
    return next(at for at, (left, right) in enumerate(zip(one, other)) if left != right)
