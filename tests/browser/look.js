#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Opens a page in headless Chromium, waits until it has an element, and prints as JSON what can be read there.
//   look.js URL CSS_SELECTOR [SCREENSHOT]
'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { chromium } = require('playwright-core')

async function look(page, url, selector, screenshot) {
  const errors = []
  page.on('pageerror', error => errors.push(error.message))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  await page.goto(url)
  await page.waitForSelector(selector, { state: 'attached' })
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true })
  return { errors, title: await page.title(), text: await page.innerText('body') }
}

async function main() {
  const [url, selector, screenshot] = process.argv.slice(2)
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'shorebreak-look-'))
  let browser
  try {
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
      viewport: { width: 1280, height: 900 },
    })
    console.log(JSON.stringify(await look(browser.pages()[0], url, selector, screenshot), null, 2))
  } finally {
    await browser?.close()
    fs.rmSync(profile, { recursive: true, force: true })
  }
}

main().catch(error => {
  console.error(error.message)
  process.exitCode = 2
})
