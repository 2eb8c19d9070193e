#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Prints what `demo --check` saw, for people.
//   summary.js playback FILE      what play.js measured; fails when the player met a fatal error
//   summary.js stats URL...       bytes by cause of each edge; fails when none was served from a cache
'use strict'

const fs = require('node:fs')

const mega = bytes => `${(bytes / 1e6).toFixed(1)} MB`

function playback(file) {
  const seen = JSON.parse(fs.readFileSync(file, 'utf8'))
  const hosts = [...new Set(seen.fragments.map(f => f.host))].join(', ')
  console.log(`first frame ${seen.firstFrameMs} ms, ${seen.stalls} stalls, ${seen.fragments.length} fragments from ${hosts}`)
  return seen.fatalErrors.length === 0
}

async function stats(urls) {
  let hits = 0
  for (const url of urls) {
    const s = await (await fetch(url)).json()
    const causes = Object.entries(s.by_cause).filter(([, c]) => c.requests > 0)
    console.log(`\n${s.edge}: ${s.requests} requests, ${mega(s.bytes_out)} to viewers, ${mega(s.bytes_origin)} from the origin`)
    for (const [cause, c] of causes)
      console.log(`  ${cause.padEnd(12)} ${String(c.requests).padStart(6)} requests ${mega(c.bytes_out).padStart(10)} out ${mega(c.bytes_origin).padStart(10)} in`)
    hits += s.by_cause.hit.bytes_out
  }
  return hits > 0
}

const [what, ...rest] = process.argv.slice(2)
Promise.resolve(what === 'playback' ? playback(rest[0]) : stats(rest))
  .then(ok => process.exit(ok ? 0 : 1))
  .catch(error => {
    console.error(`summary: ${error.message}`)
    process.exit(1)
  })
