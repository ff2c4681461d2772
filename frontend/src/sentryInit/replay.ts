/** Session replay, loaded apart. Shapes and movements are recorded; words, inputs and media never are. */
import { replayIntegration } from "@sentry/replay";

export interface ReplaySettings {
  readonly replaysSessionSampleRate: number;
  readonly replaysOnErrorSampleRate: number;
  readonly maskAllInputs: boolean;
}

/** Sample rates stand in the client's options; the integration reads them there. */
export function maskedReplay({ maskAllInputs }: ReplaySettings): ReturnType<typeof replayIntegration> {
  return replayIntegration({
    maskAllText: true,
    maskAllInputs,
    blockAllMedia: true,
    maskAttributes: ["title", "placeholder", "aria-label", "alt"],
    // A link's address is the model's text too, and the recorder masks no `href`.
    block: [".markdown a"],
    networkDetailAllowUrls: [],
    networkCaptureBodies: false,
  });
}
