#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Opens a page in headless Chromium, waits for an expression to be true, and prints as JSON what can be read there.
//   look.js URL EXPRESSION [SCREENSHOT]
'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { chromium } = require('playwright-core')

async function look(page, url, expression, screenshot) {
  const errors = []
  page.on('pageerror', error => errors.push(error.message))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  await page.goto(url)
  await page.waitForFunction(expression)
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true })
  return { errors, title: await page.title(), text: await page.innerText('body') }
}

async function main() {
  const [url, expression, screenshot] = process.argv.slice(2)
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'shorebreak-look-'))
  let browser
  try {
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
      viewport: { width: 1280, height: 900 },
    })
    console.log(JSON.stringify(await look(browser.pages()[0], url, expression, screenshot), null, 2))
  } finally {
    await browser?.close()
    fs.rmSync(profile, { recursive: true, force: true })
  }
}

main().catch(error => {
  console.error(error.message)
  process.exitCode = 2
})
