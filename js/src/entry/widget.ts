/** The notebook widget: an anywidget whose model carries the comm and the public traits. */

import type { AnyModel, Initialize, Render } from "@anywidget/types";
import { CommSource, channelOf } from "../sources/comm";
import { mount } from "../views/app";
import type { TraitStore, Traits } from "../views/effects";

interface Model {
  step: number;
  selection: string;
  color_by: string;
  compare_step: number | null;
}

const NAMES = { step: "step", selection: "selection", colorBy: "color_by", compareStep: "compare_step" } as const satisfies { [K in keyof Traits]: keyof Model };

/** The model's traits under the view's names. */
function traitsOf(model: AnyModel<Model>): TraitStore {
  return {
    get: (name) => model.get(NAMES[name]) as never,
    set(values) {
      for (const name of Object.keys(values) as (keyof Traits)[]) model.set(NAMES[name], values[name] as never);
      model.save_changes();
    },
    onChange(callback) {
      const listeners = (Object.keys(NAMES) as (keyof Traits)[]).map((name) => {
        const listener = () => callback(name);
        model.on(`change:${NAMES[name]}`, listener);
        return () => model.off(`change:${NAMES[name]}`, listener);
      });
      return () => {
        for (const end of listeners) end();
      };
    },
  };
}

const initialize: Initialize<Model> = () => undefined;

const render: Render<Model> = ({ model, el }) => {
  el.classList.add("graphscope");
  return mount(el, new CommSource(channelOf(model)), { traits: traitsOf(model) });
};

export default { initialize, render };
