package org.payterm.junit;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Two shop apps: one that asks again under the same order, and one that takes each try for a new order. */
final class Tills {
    /** After so long both ask again: far too soon, which is what makes the difference between them. */
    private static final long PATIENCE_MS = 700;
    private static final Set<String> FINAL = Set.of("approved", "declined", "cancelled", "failed");

    private Tills() {}

    /** Whatever goes wrong, it is the same order: the same id. */
    static JsonObject careful(Payterm terminal, String order, String amount) throws Exception {
        return keepAsking(terminal, () -> order, amount);
    }

    /** A new id for every try. */
    static JsonObject naive(Payterm terminal, String order, String amount) throws Exception {
        var tries = new int[1];
        return keepAsking(terminal, () -> order + "-" + ++tries[0], amount);
    }

    private static JsonObject keepAsking(Payterm terminal, Supplier<String> id, String amount)
            throws Exception {
        for (int i = 0; i < 200; i++) {
            var outcome = once(terminal, id.get(), amount);
            if (outcome != null && FINAL.contains(outcome.getString("status", ""))) {
                return outcome;
            }
            Thread.sleep(50);
        }
        throw new AssertionError("no outcome");
    }

    /** None when the till's patience is over, or the terminal refused. */
    private static JsonObject once(Payterm terminal, String id, String amount)
            throws IOException, InterruptedException {
        var command = terminal.paytermctl(
                "sale", "--id", id, "--amount", amount, "--currency", "CNY", "--final", "--json", "--quiet");
        var builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().putAll(terminal.environment());
        var process = builder.start();
        if (!process.waitFor(PATIENCE_MS, TimeUnit.MILLISECONDS)) {
            process.destroyForcibly().waitFor();
            return null;
        }
        var text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        var answer = text.isBlank() ? new JsonObject() : Json.parse(text).asObject();
        return answer.get("status") == null ? null : answer;
    }
}
