/**
 * The HTML report: the run embedded in the page itself, no kernel, no network.
 *
 * The page holds `<script type="application/octet-stream" id="graphscope-run">` with base64 of gzipped frames and an
 * element `#graphscope` to mount in (the body if there is none).
 */

import { embeddedSource } from "../sources/embedded";
import { mount } from "../views/app";

function start(): void {
  const data = document.getElementById("graphscope-run");
  const host = document.getElementById("graphscope") ?? document.body;
  host.classList.add("graphscope");
  mount(host, embeddedSource(data?.textContent ?? ""), { page: true });
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
