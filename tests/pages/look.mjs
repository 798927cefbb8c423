// Looks at pages in Chromium: node look.mjs BASE SHOTS PATH...
// Prints what axe-core finds and what overflows, as JSON; leaves a picture of each page in each setting.
import { createRequire } from 'node:module'
import { mkdirSync, readFileSync } from 'node:fs'

const [home, base, shots, ...paths] = process.argv.slice(2)
const require = createRequire(`${home}/`)
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const WIDTHS = { phone: 360, desktop: 1280 }
const found = []

mkdirSync(shots, { recursive: true })
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync']
})
for (const [device, width] of Object.entries(WIDTHS)) {
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, bypassCSP: false })
    const page = await context.newPage()
    page.on('console', message => {
      if (message.type() === 'error' && !message.text().includes('ERR_')) found.push({ path: page.url(), console: message.text() })
    })
    await page.route(url => !url.href.startsWith(base), route => route.abort())
    for (const size of ['', 'large/']) {
      for (const path of paths) {
        if (size && /^40\d/.test(path)) continue
        await page.goto(base + size + path)
        const place = `${size}${path} ${device} ${colorScheme}`
        const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
        if (width[0] > width[1]) found.push({ place, overflow: width })
        const sizes = await page.$$eval('.size a', links => links.filter(a => a.checkVisibility()).map(a => a.className))
        if (!/^40\d/.test(path) && sizes.join() !== (size ? 'to-normal' : 'to-large')) found.push({ place, sizes })
        // In an isolated world of the debugger, which the page's policy does not bind.
        await page.evaluate(axe)
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
          rules: { 'target-size': { enabled: true }, 'color-contrast-enhanced': { enabled: false } }
        }))
        for (const { id, impact, nodes } of violations) {
          found.push({ place, rule: id, impact, nodes: nodes.map(node => node.html.slice(0, 200)) })
        }
        const name = `${size}${path}`.replaceAll(/[^A-Za-z0-9]+/g, '-').replace(/-html$/, '')
        await page.screenshot({ fullPage: process.env.FULL === '1', path: `${shots}/${name}.${device}.${colorScheme}.png` })
      }
    }
    await context.close()
  }
}
await browser.close()
console.log(JSON.stringify(found, null, 1))
