/** One line under the top bar, only when there is something to say: the kernel is silent, or it answered a request. */

import { useEffect, useState } from "preact/hooks";
import { duration } from "../base/format";
import { Icon, Shape } from "../base/icons";
import { useStore } from "../store/state";

export function StatusLine() {
  const { kernel, answer } = useStore();
  const { answering, lastAnswer } = kernel.value;
  if (!answering) return <Silent lastAnswer={lastAnswer} />;
  if (!answer.value) return null;
  const { text, failed } = answer.value;
  return (
    <div class={`gs-note gs-status ${failed ? "gs-error" : ""}`} role="status">
      <Shape kind={failed ? "error" : "info"} />
      <span class="gs-break"><bdi>{text}</bdi></span>
      <span class="gs-space" />
      <button type="button" class="gs-button gs-ghost gs-icon-only" aria-label="Dismiss" onClick={() => { answer.value = null; }}><Icon name="close" size={12} /></button>
    </div>
  );
}

function Silent({ lastAnswer }: { lastAnswer: number | null }) {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="gs-note gs-status" role="status">
      <Shape kind="info" />
      <span>This kernel answers when the cell ends. The picture stays live.</span>
      <span class="gs-space" />
      {lastAnswer !== null && <span class="gs-s">last answer {duration(Math.max(0, (now - lastAnswer) / 1000))} ago</span>}
    </div>
  );
}
