// SPDX-License-Identifier: Apache-2.0
// The demo's player: plays one stream with hls.js and shows what came from which edge, and whether from its cache.
//
// config.json beside this file: {
//   "subtitle": text,  "cmcd": whether to send CMCD in the query,
//   "streams": [{ "id", "name", "url" }],                  absolute URLs, in the order of the buttons
//   "edges": [{ "name", "place", "hosts": [host], "links": { text: url } }]
// }
// ?stream=ID picks a stream of the config, ?url=URL plays any other. What is measured stands in window.shorebreak
// for tests to read.
'use strict'

const byId = id => document.getElementById(id)
const video = byId('video')
const REQUEST_ROWS = 40

let config = { streams: [], edges: [] }
let hls = null
let startedAt = 0
let switching = false // a level was just chosen by hand: the gap it makes is no stall

const shorebreak = (window.shorebreak = {
  url: null,
  firstFrameMs: null,
  stalls: 0,
  fatalErrors: [],
  errors: [], // what hls.js got over by itself
  fragments: [], // { url, host, level, type, sn, bytes, ms, cacheStatus, cache }
  playlists: [], // { url, host, bytes, ms, cacheStatus, cache }
  levels: [], // { name, bitrate }
  level: -1,
  hosts: {}, // host: { requests, hits, bytes }
  play,
  setLevel,
})

// --- what a response tells -----------------------------------------------------------------------------------

// RFC 9211: the first member is the cache nearest to the origin, the last one nearest to us.
function cacheOutcome(cacheStatus) {
  if (!cacheStatus) return 'unknown'
  const nearest = cacheStatus.split(',').pop()
  return /;\s*hit\b/.test(nearest) ? 'hit' : 'miss'
}

// What hls.js loaded, whichever loader it used; url is where redirects ended.
function describe(networkDetails, stats, requestedUrl) {
  const header = name => {
    if (!networkDetails) return null
    if (networkDetails.getResponseHeader) return networkDetails.getResponseHeader(name)
    return networkDetails.headers?.get?.(name) ?? null
  }
  const url = networkDetails?.responseURL || networkDetails?.url || requestedUrl
  const cacheStatus = header('Cache-Status')
  return {
    url,
    host: new URL(url, location.href).host,
    bytes: stats?.total || stats?.loaded || 0,
    ms: Math.round((stats?.loading?.end ?? 0) - (stats?.loading?.start ?? 0)),
    cacheStatus,
    cache: cacheOutcome(cacheStatus),
  }
}

function account(response, what) {
  const host = (shorebreak.hosts[response.host] ??= { requests: 0, hits: 0, bytes: 0 })
  host.requests += 1
  host.hits += response.cache === 'hit' ? 1 : 0
  host.bytes += response.bytes
  showRequest(response, what)
  showHosts()
}

// --- playing ---------------------------------------------------------------------------------------------------

function play(idOrUrl) {
  const stream = config.streams.find(candidate => candidate.id === idOrUrl)
  stop()
  shorebreak.url = stream ? stream.url : idOrUrl
  byId('url').textContent = shorebreak.url
  byId('message').hidden = true
  for (const button of byId('streams').children)
    button.setAttribute('aria-pressed', String(button.dataset.id === idOrUrl))

  // A buffer that stays short shows the edges at work; by default hls.js would take the whole sample at once.
  hls = new Hls({ cmcd: config.cmcd ? {} : undefined, maxMaxBufferLength: 30, backBufferLength: 30 })
  shorebreak.hls = hls
  listen(hls)
  startedAt = performance.now()
  hls.loadSource(shorebreak.url)
  hls.attachMedia(video)
  video.requestVideoFrameCallback(() => {
    shorebreak.firstFrameMs = Math.round(performance.now() - startedAt)
  })
}

function stop() {
  hls?.destroy()
  Object.assign(shorebreak, { firstFrameMs: null, stalls: 0, fatalErrors: [], errors: [], fragments: [],
    playlists: [], levels: [], level: -1, hosts: {} })
  byId('requests').replaceChildren()
  showHosts()
}

// -1 lets hls.js choose; anything else switches at once.
function setLevel(level) {
  switching = true
  hls.currentLevel = level
  byId('level').value = String(level)
}

function listen(player) {
  player.on(Hls.Events.MANIFEST_PARSED, (_, data) => {
    shorebreak.levels = data.levels.map(level => ({ name: `${level.height}p`, bitrate: level.bitrate }))
    showLevels()
    video.play().catch(() => {}) // the controls are there if the browser wants a click first
  })
  player.on(Hls.Events.MANIFEST_LOADED, (_, data) => onPlaylist(data, 'multivariant playlist', data.url))
  player.on(Hls.Events.LEVEL_LOADED, (_, data) => onPlaylist(data, 'playlist', data.details.url))
  player.on(Hls.Events.FRAG_LOADED, (_, { frag, networkDetails }) => {
    const response = { ...describe(networkDetails, frag.stats, frag.url), level: frag.level, type: frag.type,
      sn: frag.sn }
    shorebreak.fragments.push(response)
    byId('edge').textContent = edgeName(response.host)
    account(response, frag.sn === 'initSegment' ? 'init segment' : `segment ${frag.sn}`)
  })
  player.on(Hls.Events.LEVEL_SWITCHED, (_, data) => {
    shorebreak.level = data.level
  })
  player.on(Hls.Events.ERROR, onError)
}

function onPlaylist({ networkDetails, stats }, what, url) {
  const response = describe(networkDetails, stats, url)
  shorebreak.playlists.push(response)
  account(response, what)
}

function onError(_, { details, fatal, response }) {
  const error = { details, status: response?.code ?? null, url: response?.url ?? null }
  if (!fatal) return shorebreak.errors.push(error)
  shorebreak.fatalErrors.push(error)
  byId('message').textContent = `Playback ended: ${details}${error.status ? `, status ${error.status}` : ''}`
  byId('message').hidden = false
}

video.addEventListener('waiting', () => {
  if (shorebreak.firstFrameMs !== null && !video.seeking && !video.ended && !switching) shorebreak.stalls += 1
})
video.addEventListener('playing', () => {
  switching = false
})

// --- showing ---------------------------------------------------------------------------------------------------

function element(tag, text, className = '') {
  const made = document.createElement(tag)
  made.textContent = text
  made.className = className
  return made
}

function row(...cells) {
  const tr = document.createElement('tr')
  for (const cell of cells) (cell.tagName === 'TD' ? tr : tr.insertCell()).append(cell)
  return tr
}

function humanBytes(bytes) {
  if (bytes < 1000) return `${bytes} B`
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`
}

function edgeName(host) {
  return config.edges.find(edge => edge.hosts?.includes(host))?.name ?? host
}

function showRequest(response, what) {
  const name = new URL(response.url, location.href).pathname.split('/').slice(-2).join('/')
  const rows = byId('requests')
  rows.prepend(row(
    element('span', response.cache === 'unknown' ? '–' : response.cache, `chip ${response.cache}`),
    `${what} · ${name}`, response.host, element('td', humanBytes(response.bytes), 'number'),
    element('td', `${response.ms} ms`, 'number'), response.cacheStatus ?? ''))
  while (rows.children.length > REQUEST_ROWS) rows.lastChild.remove()
}

function showHosts() {
  byId('hosts').replaceChildren(...Object.entries(shorebreak.hosts).map(([host, seen]) => row(
    host, element('td', seen.requests, 'number'), element('td', seen.hits, 'number'),
    element('td', humanBytes(seen.bytes), 'number'))))
}

function showLevels() {
  const options = [['-1', 'auto'], ...shorebreak.levels.map((level, index) => [String(index), level.name])]
  byId('level').replaceChildren(...options.map(([value, name]) => new Option(name, value)))
}

function showPlayback() {
  const end = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0
  const level = shorebreak.levels[shorebreak.level]
  byId('buffer').textContent = `${Math.max(0, end - video.currentTime).toFixed(1)} s`
  byId('stalls').textContent = shorebreak.stalls
  byId('first-frame').textContent = shorebreak.firstFrameMs === null ? '–' : `${shorebreak.firstFrameMs} ms`
  byId('playing').textContent = level ? level.name : '–'
  byId('latency').textContent = hls?.levels?.[hls.currentLevel]?.details?.live ? `${hls.latency.toFixed(1)} s` : '–'
}

function showConfig() {
  byId('subtitle').textContent = config.subtitle ?? byId('subtitle').textContent
  for (const stream of config.streams) {
    const button = element('button', stream.name)
    button.dataset.id = stream.id
    button.addEventListener('click', () => {
      history.replaceState(null, '', `?stream=${encodeURIComponent(stream.id)}`)
      play(stream.id)
    })
    byId('streams').append(button)
  }
  byId('edges').hidden = config.edges.length === 0
  for (const edge of config.edges) {
    const item = document.createElement('li')
    item.append(element('span', edge.place ? `${edge.name}, ${edge.place}` : edge.name))
    for (const [text, url] of Object.entries(edge.links ?? {})) {
      const link = element('a', text)
      link.href = url
      item.append(link)
    }
    byId('edge-list').append(item)
  }
}

async function start() {
  const answer = await fetch('config.json', { cache: 'no-store' }).catch(() => null)
  if (answer?.ok) config = { ...config, ...(await answer.json()) }
  showConfig()
  byId('level').addEventListener('change', event => setLevel(Number(event.target.value)))
  setInterval(showPlayback, 250)
  const query = new URLSearchParams(location.search)
  const first = query.get('url') ?? query.get('stream') ?? config.streams[0]?.id
  if (first) play(first)
}

start()
