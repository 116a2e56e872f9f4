import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import express from 'express';
import { chromium } from 'playwright-core';
import { loadApiDescription } from '../../src/http/api/description.ts';
import { createDocs } from '../../src/http/docs.ts';

// A browser where there is one: SLUIS_TEST_CHROMIUM names it, or it is where Debian puts it.
const executablePath = process.env['SLUIS_TEST_CHROMIUM'] ?? '/usr/bin/chromium';
const hasBrowser = existsSync(executablePath);
if (!hasBrowser)
  process.stderr.write(`skipped: /docs in a browser: there is no ${executablePath}; name one in SLUIS_TEST_CHROMIUM\n`);

describe('/docs in a browser', () => {
  (hasBrowser ? it : it.skip)(
    'shows every operation, asks nobody but us, and says nothing on the console',
    async () => {
      const description = loadApiDescription();
      const server = createServer(express().enable('strict routing').use('/docs', createDocs(description.yaml)));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const profile = mkdtempSync(join(tmpdir(), 'sluis-chromium-'));
      const browser = await chromium.launchPersistentContext(profile, {
        executablePath,
        headless: true,
        timeout: 100_000,
        args: [
          '--no-sandbox',
          '--disable-gpu',
          '--disable-quic',
          '--no-first-run',
          '--disable-background-networking',
          '--disable-sync',
        ],
      });
      try {
        const page = await browser.newPage();
        page.setDefaultTimeout(100_000);
        const asked: string[] = [];
        const said: string[] = [];
        page.on('request', (request) => asked.push(request.url()));
        page.on('console', (message) => said.push(message.text()));
        page.on('pageerror', (error) => said.push(error.message));
        await page.goto(`${origin}/docs/`);
        await page.waitForSelector('.opblock');
        expect(await page.locator('.opblock').count()).toBe(description.operations.length);
        // What a page draws from `data:` leaves the machine no more than what it draws from us.
        expect(asked.filter((url) => !url.startsWith(origin) && !url.startsWith('data:'))).toEqual([]);
        expect(said).toEqual([]);
      } finally {
        await browser.close();
        rmSync(profile, { recursive: true, force: true });
        server.close();
        server.closeAllConnections();
      }
    },
    300_000,
  );
});
