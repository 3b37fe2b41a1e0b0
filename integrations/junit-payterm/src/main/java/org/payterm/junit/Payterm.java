package org.payterm.junit;

import com.eclipsesource.json.Json;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.extension.ExtensionContext;

/** A bus, an acquirer and a terminal as processes of their own, in a directory of their own. */
public final class Payterm implements ExtensionContext.Store.CloseableResource {
    static final String ACCOUNT = "cup";
    private static final long READY_SECONDS = 20;
    private static final String[][] DEVICES = {
        {"swipe", "magnetic_reader"}, {"chip", "chip_reader"}, {"tap", "contactless_reader"},
        {"scanner", "scanner"}, {"keypad", "keypad"}, {"pinpad", "pin_pad"},
        {"display", "display"}, {"printer", "printer"},
    };

    /** What a test may set. */
    public static final class Options {
        private String app = "shop";
        private String language = "en";
        private int replyTimeoutMs = 2000;
        private int backoffMs = 200;
        private String more = "";

        private Options() {}

        /** What the tests' own user is called, a manager. */
        public Options app(String name) {
            app = name;
            return this;
        }

        /** {@code en} or {@code zh-CN}. */
        public Options language(String tag) {
            language = tag;
            return this;
        }

        /** After so long without an answer an outcome is unknown. */
        public Options replyTimeoutMs(int ms) {
            replyTimeoutMs = ms;
            return this;
        }

        /** First wait between tries of a reversal. */
        public Options obligationBackoffMs(int ms) {
            backoffMs = ms;
            return this;
        }

        /** TOML that is appended to the terminal's configuration. */
        public Options config(String toml) {
            more = toml;
            return this;
        }
    }

    private final Options options = new Options();
    private final Path dir;
    private final Thread atExit = new Thread(this::killAll);
    private Process busDaemon;
    private Process acquirerProcess;
    private Process daemon;
    private String bus;
    private int port;
    private Customer customer;
    private Acquirer acquirer;

    private Payterm(Consumer<Options> change) throws IOException {
        change.accept(options);
        dir = Files.createTempDirectory("junit-payterm-");
    }

    /** A terminal in service; {@link #close} ends it. */
    public static Payterm start(Consumer<Options> change) {
        Payterm payterm = null;
        try {
            payterm = new Payterm(change);
            Runtime.getRuntime().addShutdownHook(payterm.atExit);
            payterm.setUp();
            return payterm;
        } catch (IOException | RuntimeException e) {
            if (payterm != null) {
                payterm.close();
            }
            throw e instanceof IOException io ? new UncheckedIOException(io) : (RuntimeException) e;
        }
    }

    private void setUp() throws IOException {
        startBus();
        startAcquirer();
        provision();
        Map<String, JsonObject> cards = new LinkedHashMap<>();
        var told = Programs.output("payterm-acquirer", List.of("cards", "--json", "--reveal"), null);
        for (var line : told.split("\n")) {
            var card = Json.parse(line).asObject();
            cards.put(card.getString("name", ""), card);
        }
        customer = new Customer(this, dir.resolve("state").resolve("virtual.sock"), cards);
        acquirer = new Acquirer(this, dir.resolve("acquirer"));
        start();
        // Signed in, so that a test's first message is its own.
        until("the terminal to sign in", () -> {
            for (JsonValue t : ctlJson("totals").asArray()) {
                if (!t.asObject().getBoolean("signed_in", false)) {
                    return false;
                }
            }
            return true;
        });
    }

    // ---- Life

    /** Starts the terminal; returns when calls are answered. */
    public void start() throws IOException {
        if (daemon != null && daemon.isAlive()) {
            throw new IllegalStateException("the terminal runs already");
        }
        daemon = spawn("paytermd", "--config", dir.resolve("payterm.toml").toString());
        until("paytermd to be ready", () -> {
            if (!daemon.isAlive()) {
                throw new IllegalStateException("paytermd did not start:\n" + log());
            }
            return ctl("info", "--json").status() == 0;
        });
    }

    /** Kills the terminal: a power cut, but for the machine's memory. {@link #start()} brings it back. */
    public void kill() {
        end(daemon);
    }

    /** Stops the terminal in order, as systemd would. */
    public void stop() throws InterruptedException {
        daemon.destroy();
        if (!daemon.waitFor(30, TimeUnit.SECONDS)) {
            kill();
            throw new IllegalStateException("paytermd did not stop");
        }
    }

    /** {@link #stop}, if it runs, and {@link #start()}. */
    public void restart() throws IOException, InterruptedException {
        if (daemon.isAlive()) {
            stop();
        }
        start();
    }

    /** {@code try (var lost = payterm.mishap("drop_reply")) { ... }}: for one sale request. */
    public Acquirer.Open mishap(String name) {
        return acquirer.mishap(Mishap.of(name));
    }

    public Acquirer.Open mishap(Mishap mishap) {
        return acquirer.mishap(mishap);
    }

    /**
     * The trouble is over: mishaps are forgotten, a terminal that was killed is started, and nothing is owed
     * or running when this returns. What is stuck waits for a person, and is left.
     */
    public void settle() throws IOException {
        acquirer.clearMishaps();
        if (!daemon.isAlive()) {
            start();
        }
        var done = ctl("inhibited", "--wait", "30", "--except", "stuck");
        if (done.status() != 0) {
            throw new AssertionError("after 30 s the terminal still says: " + done.out() + done.err());
        }
    }

    /** Ends all processes and removes their directory. */
    @Override
    public void close() {
        killAll();
        try {
            Runtime.getRuntime().removeShutdownHook(atExit);
        } catch (IllegalStateException e) {
            // The machine ends: the hook is what runs.
        }
        try (var all = Files.walk(dir)) {
            for (var path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    // ---- What there is to see

    public Customer customer() {
        return customer;
    }

    public Acquirer acquirer() {
        return acquirer;
    }

    /** The D-Bus address of the terminal's bus; it owns {@code org.payterm.Terminal1} there. */
    public String bus() {
        return bus;
    }

    public Path directory() {
        return dir;
    }

    /** What a process needs to find this terminal: DBUS_SYSTEM_BUS_ADDRESS, PAYTERM_BUS, PAYTERM_STATE. */
    public Map<String, String> environment() {
        var state = dir.resolve("state").toString();
        return Map.of("DBUS_SYSTEM_BUS_ADDRESS", bus, "PAYTERM_BUS", bus, "PAYTERM_STATE", state);
    }

    /** The command line of paytermctl for this terminal, to be run with {@link #environment()}. */
    public List<String> paytermctl(String... arguments) throws IOException {
        var command = new ArrayList<>(List.of(Programs.find("paytermctl")));
        command.addAll(List.of(arguments));
        return command;
    }

    /** The outcome of a request by its id. */
    public JsonObject outcome(String request) throws IOException {
        return ctlJson("recall", request).asObject().get("outcome").asObject();
    }

    /** Everything that happened in a request: {@code outcome}, {@code entries}, {@code slips}. */
    public JsonObject explain(String request) throws IOException {
        return ctlJson("explain", request).asObject();
    }

    /** The end of the terminal's log. */
    public String log() {
        try {
            var lines = Files.readAllLines(dir.resolve("paytermd.log"));
            return String.join("\n", lines.subList(Math.max(0, lines.size() - 40), lines.size()));
        } catch (IOException e) {
            return "";
        }
    }

    String story() {
        var told = new StringBuilder("paytermd:\n").append(log()).append("\nthe acquirer saw:");
        try {
            acquirer.messages().forEach(m -> told.append("\n").append(m));
        } catch (IOException | RuntimeException e) {
            told.append(" ").append(e.getMessage());
        }
        return told.toString();
    }

    /** Page on the screen: {@code idle}, {@code present}, {@code pin}, {@code wait}, {@code result} ... */
    String page() throws IOException {
        return ctlJson("info").asObject().get("screen").asObject().getString("page", "");
    }

    // ---- Inside

    private Programs.Answer ctl(String... arguments) throws IOException {
        return Programs.run("paytermctl", List.of(arguments), null, environment());
    }

    private JsonValue ctlJson(String... arguments) throws IOException {
        var all = new ArrayList<>(List.of(arguments));
        all.add("--json");
        // `recall` tells the status by its exit status.
        var answer = ctl(all.toArray(String[]::new));
        var json = answer.out().isBlank() ? Json.NULL : Json.parse(answer.out());
        if (json.isNull() || (json.isObject() && json.asObject().get("fault") != null)) {
            var said = (answer.out() + answer.err()).strip();
            throw new IOException("paytermctl " + String.join(" ", arguments) + ": " + said);
        }
        return json;
    }

    private Process spawn(String name, String... arguments) throws IOException {
        var command = new ArrayList<>(List.of(Programs.find(name)));
        command.addAll(List.of(arguments));
        var builder = new ProcessBuilder(command).redirectOutput(Redirect.DISCARD);
        builder.redirectError(Redirect.appendTo(dir.resolve(name + ".log").toFile()));
        builder.environment().put("DBUS_SYSTEM_BUS_ADDRESS", bus);
        return builder.start();
    }

    private void startBus() throws IOException {
        var command = List.of(
                "dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1",
                "--address=unix:dir=" + dir);
        busDaemon = new ProcessBuilder(command).redirectError(Redirect.DISCARD).start();
        bus = busDaemon.inputReader(StandardCharsets.UTF_8).readLine();
        if (bus == null) {
            throw new IOException("dbus-daemon did not start");
        }
    }

    void startAcquirer() throws IOException {
        var ready = dir.resolve("acquirer.ready");
        Files.deleteIfExists(ready);
        acquirerProcess = spawn(
                "payterm-acquirer", "serve",
                "--listen", "unionpay=127.0.0.1:" + port, "--listen", "demo-x919=127.0.0.1:0",
                "--state", dir.resolve("acquirer").toString(), "--ready-file", ready.toString());
        until("payterm-acquirer to be ready", () -> {
            if (!acquirerProcess.isAlive()) {
                var log = Files.readString(dir.resolve("payterm-acquirer.log"));
                throw new IllegalStateException("payterm-acquirer did not start:\n" + log);
            }
            return Files.exists(ready);
        });
        var address = Json.parse(Files.readString(ready)).asObject().getString("unionpay", "");
        port = Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
    }

    void stopAcquirer() {
        end(acquirerProcess);
    }

    /** Configuration of the terminal, as an engineer would fill it in. */
    private String configuration(String state, String key) throws IOException {
        var toml = new StringBuilder();
        toml.append("""
                [terminal]
                shop = "JUnit shop"
                language = "%s"
                [operators]
                required = false
                [inhibit]
                logind = "off"
                [store]
                dir = "%s"
                [vault]
                key_file = "%s"
                """.formatted(options.language, state, key));
        toml.append("""
                [bus]
                bus = "system"
                [[bus.caller]]
                uid = %s
                app = "%s"
                manager = true
                """.formatted(Files.getAttribute(dir, "unix:uid"), options.app));
        toml.append("""
                [[account]]
                id = "%s"
                profile = "unionpay"
                mid = "TESTMERCHANT001"
                tid = "TEST0001"
                currency = "CNY"
                address = "127.0.0.1:%d"
                connect_timeout_ms = 2000
                reply_timeout_ms = %d
                obligation_backoff_ms = %d
                obligation_backoff_max_ms = 1000
                """.formatted(ACCOUNT, port, options.replyTimeoutMs, options.backoffMs));
        for (var device : DEVICES) {
            toml.append("""
                    [[device]]
                    name = "%s"
                    kind = "%s"
                    driver = "virtual"
                    """.formatted((Object[]) device));
        }
        return toml.append(options.more).append("\n").toString();
    }

    /** Configuration and keys, as an engineer would bring them. */
    private void provision() throws IOException {
        var state = dir.resolve("state").toString();
        var key = dir.resolve("vault.key").toString();
        Files.writeString(dir.resolve("payterm.toml"), configuration(state, key));
        Programs.output("paytermctl", List.of("vault", "init", "--state", state, "--key-file", key), null);
        var tmk = Programs.output("payterm-acquirer", List.of("tmk", "--json", "--account", ACCOUNT), null);
        var parts = Json.parse(tmk).asObject();
        var lines = new StringBuilder();
        for (var part : List.of("component_1", "kcv_1", "component_2", "kcv_2", "kcv")) {
            lines.append(parts.getString(part, "")).append("\n");
        }
        var load = List.of(
                "vault", "tmk-components", "--state", state, "--key-file", key, "--account", ACCOUNT);
        Programs.output("paytermctl", load, lines.toString());
    }

    /** Something that is tried until it is so. */
    private interface Check {
        boolean holds() throws IOException;
    }

    private void until(String what, Check check) throws IOException {
        var end = System.nanoTime() + TimeUnit.SECONDS.toNanos(READY_SECONDS);
        while (!check.holds()) {
            if (System.nanoTime() > end) {
                throw new IOException("waited in vain for " + what + ":\n" + log());
            }
            try {
                Thread.sleep(10);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted", e);
            }
        }
    }

    private void killAll() {
        for (var process : new Process[] {daemon, acquirerProcess, busDaemon}) {
            end(process);
        }
    }

    private static void end(Process process) {
        if (process != null) {
            process.destroyForcibly();
            try {
                process.waitFor();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
