// SPDX-License-Identifier: Apache-2.0
// The suite's origin. It keeps connections for longer than the edge's pool does: else it would now and then close one
// that the edge is about to use, and a POST that meets this cannot be sent again.
import http from 'http'

const createServer = http.createServer
http.createServer = (...parameters) => {
  const server = createServer(...parameters)
  server.keepAliveTimeout = 120000
  return server
}
await import('http-cache-tests/server/server.mjs')
