/** What the gateway says about itself: version, telemetry, models. Read once; Sentry starts from here. */
import { type Config, type ModelList, readConfig, readModels } from "./api";
import { initSentry } from "./sentryInit";
import { personWords } from "./wording";

/** The first message waits no longer than this for Sentry, whatever the network does. */
const longestTelemetryWaitMs = 1_500;

export class Setup {
  config = $state.raw<Config | null>(null);
  models = $state.raw<ModelList | null>(null);
  problem = $state<string | null>(null);
  readonly #configRead: Promise<void>;

  constructor() {
    this.#configRead = this.#readConfig();
    void this.readModels();
  }

  /** Resolves when an action may be traced, or will not be. */
  async telemetrySettled(): Promise<void> {
    const patience = new Promise((resolve) => setTimeout(resolve, longestTelemetryWaitMs));
    await Promise.race([this.#configRead, patience]);
  }

  /** What a new conversation begins with; empty when no model is configured. */
  get firstModel(): string {
    return this.models?.default ?? this.models?.models[0]?.id ?? "";
  }

  async readModels(): Promise<void> {
    try {
      this.models = await readModels();
      this.problem = null;
    } catch (error) {
      this.problem = personWords(error);
    }
  }

  /** Where the trace can be seen; null when this Hopline has no viewer. */
  traceUrl(traceId: string): string | null {
    const template = this.config?.trace_url_template ?? null;
    return template === null ? null : template.replaceAll("{trace_id}", encodeURIComponent(traceId));
  }

  async #readConfig(): Promise<void> {
    try {
      this.config = await readConfig();
      await startTelemetry(this.config);
    } catch {
      // The page works without both; the models' own call tells the person when the gateway is away.
    }
  }
}

async function startTelemetry({ sentry }: Config): Promise<void> {
  if (sentry === null) return;
  await initSentry({
    dsn: sentry.dsn,
    environment: sentry.environment,
    release: sentry.release,
    tracesSampleRate: sentry.traces_sample_rate,
    replaysSessionSampleRate: sentry.replays_session_sample_rate,
    replaysOnErrorSampleRate: sentry.replays_on_error_sample_rate,
    maskAllInputs: true,
  });
}
