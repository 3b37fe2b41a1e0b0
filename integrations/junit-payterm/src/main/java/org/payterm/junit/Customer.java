package org.payterm.junit;

import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * The customer at the virtual devices. What the customer does is kept until the terminal asks for it, so it
 * can stand before the app's call.
 */
public final class Customer {
    private static final Duration WAIT = Duration.ofSeconds(10);

    private final Payterm payterm;
    private final Path socket;
    private final Map<String, JsonObject> cards;

    Customer(Payterm payterm, Path socket, Map<String, JsonObject> cards) {
        this.payterm = payterm;
        this.socket = socket;
        this.cards = cards;
    }

    /** The devices did not take it; the text says what and why. */
    public static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;

        Refused(String text) {
            super(text);
        }
    }

    /** The acquirer's test cards by name: {@code pan}, {@code expiry}, {@code track2}, {@code pin}. */
    public Map<String, JsonObject> cards() {
        return cards;
    }

    /** Swipes a test card and types its PIN. */
    public void pays(String card) {
        swipe(card);
        var pin = card(card).getString("pin", null);
        if (pin != null) {
            pin(pin);
        }
    }

    /** A test card by its name, or a track 2: {@code PAN=YYMM...}. */
    public void swipe(String card) {
        var track2 = card.contains("=") ? card : card(card).getString("track2", "");
        queue(new JsonObject().add("do", "swipe").add("tracks", ";" + track2 + "?"));
    }

    /** 4 to 12 digits, {@code cancel} or {@code bypass}. */
    public void pin(String digits) {
        queue(new JsonObject().add("do", "pin").add("pin", digits));
    }

    /** Shows a payment code, 18 digits: 13... is WeChat's, 28... Alipay's, 62... UnionPay's. */
    public void scan(String code) {
        queue(new JsonObject().add("do", "scan").add("code", code));
    }

    /** Presses {@code confirm}, {@code cancel} or a digit. */
    public void key(String key) {
        queue(new JsonObject().add("do", "key").add("key", key));
    }

    /** Presses Cancel as soon as the terminal asks for a card, a code or the PIN. */
    public void cancel() throws IOException, InterruptedException {
        var until = System.nanoTime() + WAIT.toNanos();
        while (true) {
            var page = payterm.page();
            if (page.equals("present")) {
                key("cancel");
                return;
            }
            if (page.equals("pin")) {
                pin("cancel");
                return;
            }
            if (System.nanoTime() > until) {
                var seconds = WAIT.toSeconds();
                throw new Refused("cancel: the customer is not asked for anything within " + seconds + " s");
            }
            Thread.sleep(20);
        }
    }

    /** The lines of the display, as soon as this text is on it. */
    public List<String> screen(String contains) {
        return texts(new JsonObject().add("do", "screen").add("contains", contains), "lines");
    }

    /** The papers that came out, as soon as there are that many. */
    public List<String> papers(int count) {
        return texts(new JsonObject().add("do", "papers").add("count", count), "papers");
    }

    /** Switches the printer on or off. */
    public void printer(boolean online) {
        ask(new JsonObject().add("do", "printer").add("on", online));
    }

    private JsonObject card(String name) {
        var card = cards.get(name);
        if (card == null) {
            var there = String.join(" ", cards.keySet());
            throw new IllegalArgumentException("no test card '" + name + "'; there are: " + there);
        }
        return card;
    }

    /** A list of texts that the devices answer with, within {@link #WAIT}. */
    private List<String> texts(JsonObject command, String field) {
        var answer = ask(command.add("timeout_ms", WAIT.toMillis()));
        return answer.get(field).asArray().values().stream().map(JsonValue::asString).toList();
    }

    private void queue(JsonObject command) {
        ask(command.add("queue", true));
    }

    private JsonObject ask(JsonObject command) {
        try {
            var answer = Lines.ask(socket, command);
            var error = answer.get("error");
            if (error != null) {
                // What was typed or swiped is not repeated: it may be a card number.
                var e = error.asObject();
                var where = command.getString("do", "") + ": " + e.getString("field", "");
                throw new Refused(where + ": " + e.getString("rule", ""));
            }
            return answer;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
