/** All stylesheets of the view as one text; mount() puts it into a style element beside its root. */

import app from "./app.css";
import base from "./base.css";
import tokens from "./tokens.css";
import trainer from "./trainer.css";

export const STYLES = [tokens, base, app, trainer].join("\n");
