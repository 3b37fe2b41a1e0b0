package org.payterm.junit;

import com.eclipsesource.json.JsonObject;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Trouble for the next messages that fit, by name (docs/testing.md). Without more it is for one sale request:
 * {@code Mishap.of("late_reply").value(3000).mti("0400").next(2)}.
 */
public final class Mishap {
    /** The names, each with the value that it takes, or null. */
    static final Map<String, String> NAMES = new LinkedHashMap<>();

    static {
        NAMES.put("delay", "ms");
        NAMES.put("drop_request", null);
        NAMES.put("drop_reply", null);
        NAMES.put("duplicate_reply", null);
        NAMES.put("corrupt_reply", null);
        NAMES.put("bad_mac", null);
        NAMES.put("no_mac", null);
        NAMES.put("close_mid_frame", null);
        NAMES.put("busy", null);
        NAMES.put("wrong_stan", null);
        NAMES.put("late_reply", "ms");
        NAMES.put("code", "code");
        NAMES.put("requirement", "digit");
        NAMES.put("not_balanced", null);
        NAMES.put("settle_error", null);
        NAMES.put("bad_totals", null);
        NAMES.put("endless_list", null);
        NAMES.put("zero_checksum", null);
        NAMES.put("truncated_tlv", null);
        NAMES.put("no_entry", null);
        NAMES.put("no_end", null);
    }

    private final String name;
    private final JsonObject type;
    private String kind = "sale";
    private String mti;
    private int next = 1;
    private boolean mustHappen = true;
    private boolean valued;

    private Mishap(String written) {
        // As the acquirer's own command has it: drop-reply.
        String name = written.replace('-', '_');
        if (!NAMES.containsKey(name)) {
            var there = String.join(" ", NAMES.keySet());
            throw new IllegalArgumentException("there is no mishap '" + name + "'; there are: " + there);
        }
        this.name = name;
        type = new JsonObject().add("type", name.replace('_', '-'));
    }

    public static Mishap of(String name) {
        return new Mishap(name);
    }

    /** Milliseconds of {@code delay} and {@code late_reply}, the digit of {@code requirement}. */
    public Mishap value(int value) {
        type.add(takes("code"), value);
        return this;
    }

    /** The F39 of {@code code}. */
    public Mishap value(String code) {
        if (!"code".equals(NAMES.get(name))) {
            throw new IllegalArgumentException(name + " takes no text");
        }
        type.add(takes(null), code);
        return this;
    }

    private String takes(String not) {
        var field = NAMES.get(name);
        if (field == null || field.equals(not) || valued) {
            var takes = field == null ? " takes no value" : " takes one " + field;
            throw new IllegalArgumentException(name + takes);
        }
        valued = true;
        return field;
    }

    /**
     * For requests of this kind (not their reversals): {@code sale}, which it is without a word, {@code
     * void}, {@code refund} ...
     */
    public Mishap kind(String kind) {
        this.kind = kind;
        this.mti = null;
        return this;
    }

    /** Messages with this MTI: {@code 0400} is a reversal. */
    public Mishap mti(String mti) {
        this.mti = mti;
        this.kind = null;
        return this;
    }

    /** Any message. */
    public Mishap any() {
        this.mti = null;
        this.kind = null;
        return this;
    }

    /** For so many messages. */
    public Mishap next(int messages) {
        next = messages;
        return this;
    }

    /** It is no failure when no message came that it was for. */
    public Mishap perhaps() {
        mustHappen = false;
        return this;
    }

    JsonObject plan() {
        if (NAMES.get(name) != null && !valued) {
            throw new IllegalArgumentException(name + " needs its value: " + NAMES.get(name));
        }
        var plan = new JsonObject().add("mishap", type).add("next", next);
        if (mti != null) {
            plan.add("mti", mti);
        } else if (kind != null) {
            plan.add("kind", kind);
        }
        return plan;
    }

    int next() {
        return next;
    }

    boolean mustHappen() {
        return mustHappen;
    }

    @Override
    public String toString() {
        var what = mti != null ? "message " + mti : kind != null ? kind + " request" : "any message";
        return name + " (" + what + ")";
    }
}
