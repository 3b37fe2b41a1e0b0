package org.payterm.junit;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonArray;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** The acquirer: its mishaps, and its ledger for assertions. */
public final class Acquirer {
    private final Payterm payterm;
    private final Path state;

    Acquirer(Payterm payterm, Path state) {
        this.payterm = payterm;
        this.state = state;
    }

    /**
     * Something that ends with the block of a try:
     * {@code try (var lost = payterm.mishap("drop_reply")) { ... }}.
     */
    public interface Open extends AutoCloseable {
        @Override
        void close();
    }

    // ---- Mishaps

    /**
     * Plans a mishap from now to the end of the block. What was not used by then is forgotten; a mishap that
     * never came to pass fails the test, because that test has shown nothing.
     */
    public Open mishap(Mishap mishap) {
        var plan = mishap.plan();
        order(plan);
        return () -> {
            if (forget(plan) == mishap.next() && mishap.mustHappen()) {
                throw new AssertionError(
                        "the mishap " + mishap + " never came to pass: no such message reached the acquirer");
            }
        };
    }

    /** Forgets all that wait. */
    public void clearMishaps() {
        control(new JsonObject().add("cmd", "clear"));
    }

    private void order(JsonObject plan) {
        var command = new JsonObject().add("cmd", "mishap");
        plan.forEach(m -> {
            if (!m.getValue().isNull()) {
                command.add(m.getName(), m.getValue());
            }
        });
        control(command);
    }

    List<JsonValue> waiting() {
        return control(new JsonObject().add("cmd", "mishaps")).get("mishaps").asArray().values();
    }

    /** Takes this one out; how often it would still have come. */
    private int forget(JsonObject plan) {
        var waiting = waiting();
        JsonValue mine = waiting.stream().filter(p -> same(p.asObject(), plan)).findFirst().orElse(null);
        if (mine == null) {
            return 0;
        }
        clearMishaps();
        waiting.stream().filter(p -> p != mine).forEach(p -> order(p.asObject()));
        return mine.asObject().getInt("next", 0);
    }

    private static boolean same(JsonObject waits, JsonObject plan) {
        for (var field : List.of("mishap", "kind", "mti")) {
            JsonValue a = waits.get(field);
            JsonValue b = plan.get(field);
            if (!(a == null ? Json.NULL : a).equals(b == null ? Json.NULL : b)) {
                return false;
            }
        }
        return true;
    }

    JsonObject control(JsonObject command) {
        try {
            var answer = Lines.ask(state.resolve("control.sock"), command);
            if (!answer.getBoolean("ok", false)) {
                throw new IllegalArgumentException("the acquirer: " + answer.getString("error", ""));
            }
            return answer;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The acquirer is not there inside the block; it comes back with its ledger, at the same address. */
    public Open down() {
        payterm.stopAcquirer();
        return () -> {
            try {
                payterm.startAcquirer();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
    }

    // ---- The ledger

    /** What the shop (with the acquirer's fee) holds of all requests. */
    public BigDecimal net() throws IOException {
        return sum(standing().values().stream());
    }

    /** The same of one request, by its id. */
    public BigDecimal net(String request) throws IOException {
        Set<Frame> frames = new HashSet<>();
        for (var entry : payterm.explain(request).get("entries").asArray()) {
            var record = entry.asObject().get("record").asObject();
            var own = record.get("request");
            var allowed = own == null ? null : own.asObject().get("allowed");
            if (allowed != null) {
                var plan = allowed.asObject().get("plan").asObject();
                var account = allowed.asObject().getString("account", "");
                frames.add(new Frame(account, plan.getInt("batch", 0), plan.getInt("stan", 0)));
            }
        }
        return sum(standing().values().stream().filter(r -> frames.contains(r.frame())));
    }

    /**
     * The payments that stand, in their order. One that was reversed or voided does not stand; a refund is
     * one of its own, below zero.
     */
    public List<BigDecimal> charges() throws IOException {
        return standing().values().stream().map(Row::amount).filter(a -> a.signum() != 0).toList();
    }

    /** What reached the acquirer, in order: {@code mti}, {@code stan}, {@code code}, {@code mishap}. */
    public List<JsonObject> messages() throws IOException {
        var all = read("log");
        List<JsonObject> told = new ArrayList<>();
        for (var m : all) {
            var one = new JsonObject();
            for (var field : List.of("mti", "stan", "code", "mishap")) {
                JsonValue value = m.asObject().get(field);
                one.add(field, value == null ? Json.NULL : value);
            }
            told.add(one);
        }
        return told;
    }

    /** Frames that this run of the acquirer has read. */
    public int frames() {
        return control(new JsonObject().add("cmd", "stats")).get("stats").asObject().getInt("frames", 0);
    }

    private record Frame(String account, int batch, int stan) {}

    private record Row(Frame frame, BigDecimal amount) {}

    private static BigDecimal sum(Stream<Row> rows) {
        return rows.map(Row::amount).reduce(BigDecimal.ZERO.setScale(2), BigDecimal::add);
    }

    private JsonArray read(String command) throws IOException {
        var arguments = List.of(command, "--json", "--state", state.toString());
        return Json.parse(Programs.output("payterm-acquirer", arguments, null)).asArray();
    }

    /** One row a payment, with what is left of it. */
    private Map<Integer, Row> standing() throws IOException {
        var ours = Set.of("merchant:" + Payterm.ACCOUNT, "fees:" + Payterm.ACCOUNT);
        Map<Integer, Row> rows = new LinkedHashMap<>();
        Map<Integer, Integer> roots = new HashMap<>();
        for (var value : read("ledger")) {
            var p = value.asObject();
            if (p.get("account").isNull()) {
                continue;
            }
            int id = p.getInt("id", 0);
            JsonValue undoes = p.get("undoes");
            int root = undoes.isNull() ? id : roots.getOrDefault(undoes.asInt(), undoes.asInt());
            roots.put(id, root);
            var frame = new Frame(p.getString("account", ""), p.getInt("batch", 0), p.getInt("stan", 0));
            var row = rows.getOrDefault(root, new Row(frame, BigDecimal.ZERO.setScale(2)));
            for (var line : p.get("lines").asArray()) {
                var pair = line.asArray();
                if (ours.contains(pair.get(0).asString())) {
                    row = new Row(row.frame(), row.amount().add(BigDecimal.valueOf(pair.get(1).asLong(), 2)));
                }
            }
            rows.put(root, row);
        }
        return rows;
    }
}
