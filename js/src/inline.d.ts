// What inline-sources.mjs makes of imports that are no modules.
declare module "*.css" {
  /** The text of the stylesheet. */
  const text: string;
  export default text;
}

declare module "*?inline" {
  /** The module bundled and minified into one classic script; put it into a Blob to start a Worker. */
  const source: string;
  export default source;
}
