package org.payterm.junit;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Where the programs are, and running them to their end. */
final class Programs {
    private static final long PATIENCE_SECONDS = 90;

    private Programs() {}

    /** What a program answered. */
    record Answer(int status, String out, String err) {}

    /**
     * The program in PAYTERM_BIN, else in PATH, else the newest in {@code target} of the checkout that the
     * tests run in.
     */
    static String find(String name) throws IOException {
        var chosen = System.getenv("PAYTERM_BIN");
        if (chosen != null && !chosen.isEmpty()) {
            var path = Path.of(chosen, name);
            if (Files.isExecutable(path)) {
                return path.toString();
            }
            throw new IOException(name + ": not in PAYTERM_BIN (" + chosen + ")");
        }
        for (var dir : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator)) {
            var path = Path.of(dir, name);
            if (!dir.isEmpty() && Files.isExecutable(path)) {
                return path.toString();
            }
        }
        for (var at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
            Path newest = null;
            for (var kind : List.of("debug", "release", "prove")) {
                var path = at.resolve("target").resolve(kind).resolve(name);
                if (Files.isExecutable(path) && (newest == null || isNewer(path, newest))) {
                    newest = path;
                }
            }
            if (newest != null) {
                return newest.toString();
            }
        }
        throw new IOException(name + ": neither in PATH nor built here; install payterm,"
                + " or set PAYTERM_BIN to the directory of its programs");
    }

    private static boolean isNewer(Path path, Path other) throws IOException {
        return Files.getLastModifiedTime(path).compareTo(Files.getLastModifiedTime(other)) > 0;
    }

    /** Runs it whatever its exit status; {@code stdin} may be null. */
    static Answer run(String name, List<String> arguments, String stdin, Map<String, String> env)
            throws IOException {
        var command = new ArrayList<String>();
        command.add(find(name));
        command.addAll(arguments);
        var out = Files.createTempFile("payterm-out", "");
        var err = Files.createTempFile("payterm-err", "");
        try {
            var builder = new ProcessBuilder(command);
            builder.redirectOutput(out.toFile()).redirectError(err.toFile());
            builder.environment().putAll(env);
            var process = builder.start();
            try (var to = process.getOutputStream()) {
                if (stdin != null) {
                    to.write(stdin.getBytes(StandardCharsets.UTF_8));
                }
            }
            if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                var told = name + " " + String.join(" ", arguments);
                throw new IOException(told + ": no end within " + PATIENCE_SECONDS + " s");
            }
            return new Answer(process.exitValue(), Files.readString(out), Files.readString(err));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(name + ": interrupted", e);
        } finally {
            Files.deleteIfExists(out);
            Files.deleteIfExists(err);
        }
    }

    /** What it wrote to stdout; another exit status than 0 is an exception. */
    static String output(String name, List<String> arguments, String stdin) throws IOException {
        var answer = run(name, arguments, stdin, Map.of());
        if (answer.status() != 0) {
            var why = "exit status " + answer.status() + ": " + answer.err().strip();
            throw new IOException(name + " " + String.join(" ", arguments) + ": " + why);
        }
        return answer.out();
    }
}
