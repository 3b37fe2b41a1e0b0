package org.payterm.junit;

import java.util.function.Consumer;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;

/**
 * A terminal in service a test, as a parameter of type {@link Payterm}; or, to set something,
 * {@code @RegisterExtension PaytermExtension terminal = new PaytermExtension(o -> o.replyTimeoutMs(5000));}.
 */
public final class PaytermExtension
        implements BeforeEachCallback, ParameterResolver, TestExecutionExceptionHandler {
    private static final Namespace OURS = Namespace.create(PaytermExtension.class);

    private final Consumer<Payterm.Options> change;
    private Payterm running;

    public PaytermExtension() {
        this(options -> {});
    }

    public PaytermExtension(Consumer<Payterm.Options> change) {
        this.change = change;
    }

    /** The terminal of the test that runs, where the extension is a field. */
    public Payterm payterm() {
        return running;
    }

    @Override
    public void beforeEach(ExtensionContext context) throws Exception {
        running = of(context);
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == Payterm.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return of(context);
    }

    /** What terminal and acquirer did stands with the failure. */
    @Override
    public void handleTestExecutionException(ExtensionContext context, Throwable failure) throws Throwable {
        failure.addSuppressed(new Story(of(context).story()));
        throw failure;
    }

    /** Closed by JUnit at the end of the test. */
    private Payterm of(ExtensionContext context) {
        var store = context.getStore(OURS);
        return store.getOrComputeIfAbsent(Payterm.class, key -> Payterm.start(change), Payterm.class);
    }

    /** No failure of its own: the terminal's log and the acquirer's messages. */
    static final class Story extends RuntimeException {
        private static final long serialVersionUID = 1;

        Story(String text) {
            super(text, null, false, false);
        }
    }
}
