#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Opens the player page in headless Chromium, plays some seconds of a stream, switches the level once, and prints
// as JSON what the page measured. Exits 0 when it played on after the switch without a fatal error, else 1.
// Waits for media time to pass, never for wall-clock time; --timeout bounds the whole.
'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { chromium } = require('playwright-core')

const USAGE = `usage: play.js [options] PAGE_URL
  --stream ID              a stream of the page's config.json
  --url URL                or any stream
  --seconds N              media time to play before the switch, and again after it (default 6)
  --timeout N              give up after so many seconds in all (default 60)
  --host-resolver-rules R  handed to Chromium: "MAP edge-a.example 127.0.0.2"
  --ignore-certificate-errors
  --screenshot FILE        of the page as it stands at the end
Environment: CHROMIUM, the browser to run (default /usr/bin/chromium)`

function options() {
  const string = fallback => ({ type: 'string', default: fallback })
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      stream: string(), url: string(), seconds: string('6'), timeout: string('60'), screenshot: string(),
      'host-resolver-rules': string(), 'ignore-certificate-errors': { type: 'boolean', default: false },
    },
  })
  if (positionals.length !== 1) throw new Error(USAGE)
  const page = new URL(positionals[0])
  if (values.stream) page.searchParams.set('stream', values.stream)
  if (values.url) page.searchParams.set('url', values.url)
  return { ...values, page: page.href, seconds: Number(values.seconds), timeout_ms: Number(values.timeout) * 1000 }
}

function browserArguments(wanted) {
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--autoplay-policy=no-user-gesture-required']
  if (wanted['host-resolver-rules']) flags.push(`--host-resolver-rules=${wanted['host-resolver-rules']}`)
  if (wanted['ignore-certificate-errors']) flags.push('--ignore-certificate-errors')
  return flags
}

// Resolves when `seconds` of media have passed since now; fails as soon as playback has ended for good.
async function playOn(page, seconds) {
  await page.evaluate(() => {
    window.playedFrom = document.querySelector('video').currentTime
  })
  await waitFor(page, wanted =>
    shorebreak.firstFrameMs !== null && document.querySelector('video').currentTime >= playedFrom + wanted, seconds)
}

async function waitFor(page, condition, argument) {
  const met = await page.waitForFunction(`(${condition})(${JSON.stringify(argument)}) ? 'yes'
    : window.shorebreak?.fatalErrors.length ? 'fatal' : null`)
  if ((await met.jsonValue()) !== 'yes') throw new Error('a fatal error ended playback')
}

// From the level that plays, which may change by itself at any moment, to another one; returns both once that is on
// the screen.
async function switchLevel(page) {
  const levels = await page.evaluate(() => {
    const from = shorebreak.level
    const to = from > 0 ? from - 1 : shorebreak.levels.length - 1
    if (to !== from) shorebreak.setLevel(to)
    return { switchedFrom: from, switchedTo: to }
  })
  await waitFor(page, level => shorebreak.level === level, levels.switchedTo)
  return levels
}

async function measured(page) {
  return page.evaluate(() => {
    const { hls, play, setLevel, ...plain } = window.shorebreak ?? {}
    const video = document.querySelector('video')
    return { ...plain, position: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames }
  })
}

async function session(page, wanted, seen) {
  await page.goto(wanted.page)
  await waitFor(page, () => window.shorebreak && shorebreak.firstFrameMs !== null && shorebreak.level >= 0)
  await playOn(page, wanted.seconds)
  Object.assign(seen, await switchLevel(page))
  await playOn(page, wanted.seconds)
}

async function main() {
  const wanted = options()
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'shorebreak-play-'))
  const seen = { ok: false, failure: null }
  let browser
  try {
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: browserArguments(wanted),
      viewport: { width: 1280, height: 900 },
    })
    browser.setDefaultTimeout(wanted.timeout_ms)
    const page = browser.pages()[0]
    page.on('pageerror', error => (seen.failure ??= `script error: ${error.message}`))
    try {
      await session(page, wanted, seen)
    } catch (error) {
      seen.failure ??= error.message.split('\n')[0]
    }
    Object.assign(seen, await measured(page))
    if (wanted.screenshot) await page.screenshot({ path: wanted.screenshot })
    seen.ok = seen.failure === null && seen.fatalErrors.length === 0
  } finally {
    await browser?.close()
    fs.rmSync(profile, { recursive: true, force: true })
  }
  console.log(JSON.stringify(seen, null, 2))
  process.exitCode = seen.ok ? 0 : 1
}

main().catch(error => {
  console.error(error.message)
  process.exitCode = 2
})
