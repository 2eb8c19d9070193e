// SPDX-License-Identifier: Apache-2.0
// Runs the suite against the URL given, and prints for each test what it is and how it ended:
// {"id": {"kind": "required" | "optimal" | "check", "suite": "...", "passed": true, "why": "..."}}
// The tests of Surrogate-Control, which RFC 9213 has replaced, are not among them.
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const [base, only] = process.argv.slice(2)
for (const suite of suites) {
  suite.tests = suite.tests.filter(test => !test.browser_only && (!only || only.split(',').includes(test.id)))
}
await runTests(suites, fetch, false, base)

const results = getResults()
const told = {}
for (const suite of suites) {
  for (const test of suite.tests) {
    const passed = results[test.id] === true
    told[test.id] = { kind: test.kind || 'required', suite: suite.id, passed }
    if (!passed) told[test.id].why = results[test.id].join(': ')
  }
}
console.log(JSON.stringify(told, null, 1))
process.exit(0)
