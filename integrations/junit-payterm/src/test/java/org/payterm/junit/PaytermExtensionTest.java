package org.payterm.junit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import com.eclipsesource.json.JsonObject;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.testkit.engine.EngineTestKit;

/** The extension, proven with a shop app that is right and one that is not. */
@ExtendWith(PaytermExtension.class)
@Timeout(90)
class PaytermExtensionTest {
    private static final BigDecimal AMOUNT = new BigDecimal("12.34");

    @Test
    void aSale(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        assertEquals("approved", Tills.careful(payterm, "order-1", "12.34").getString("status", ""));
        assertEquals(List.of(AMOUNT), payterm.acquirer().charges());
        assertEquals(AMOUNT, payterm.acquirer().net("order-1"));
        assertEquals(AMOUNT, payterm.acquirer().net());
        assertTrue(payterm.customer().papers(2).get(0).contains("12.34"));
    }

    @Test
    void aSlowBankChargesOnceWhoKeepsTheId(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        try (var slow = payterm.mishap(Mishap.of("delay").value(1500))) {
            assertEquals("approved", Tills.careful(payterm, "order-2", "12.34").getString("status", ""));
        }
        assertEquals(List.of(AMOUNT), payterm.acquirer().charges());
    }

    @Test
    void aSlowBankChargesTwiceWhoMakesANewId(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        payterm.customer().pays("alice");
        try (var slow = payterm.mishap(Mishap.of("delay").value(1500))) {
            assertEquals("approved", Tills.naive(payterm, "order-3", "12.34").getString("status", ""));
        }
        assertEquals(List.of(AMOUNT, AMOUNT), payterm.acquirer().charges(), "the naive app is seen");
    }

    @Test
    void aLostAnswerIsReversed(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        var reversal = Mishap.of("drop_request").mti("0400");
        try (var lost = payterm.mishap("drop_reply"); var again = payterm.mishap(reversal)) {
            assertEquals("declined", Tills.careful(payterm, "order-4", "12.34").getString("status", ""));
        }
        payterm.settle();
        assertEquals("reversed", payterm.outcome("order-4").get("reason").asObject().getString("code", ""));
        assertEquals(List.of(), payterm.acquirer().charges());
        var seen = payterm.acquirer().messages().stream().map(m -> m.getString("mti", "")).toList();
        assertEquals(List.of("0800", "0200", "0400", "0400"), seen);
    }

    @Test
    void aTerminalThatDiesWithTheFrameOnItsWay(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        try (var slow = payterm.mishap(Mishap.of("delay").value(800))) {
            var outcome = inBackground(() -> Tills.careful(payterm, "order-5", "12.34"));
            while (payterm.acquirer().frames() < 2) {
                Thread.sleep(10);
            }
            payterm.kill();
            payterm.start();
            assertEquals("declined", outcome.get(30, TimeUnit.SECONDS).getString("status", ""));
        }
        payterm.settle();
        assertEquals(0, payterm.acquirer().net("order-5").signum());
    }

    @Test
    void noAcquirerNoCharge(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        try (var down = payterm.acquirer().down()) {
            var outcome = Tills.careful(payterm, "order-6", "12.34");
            assertEquals("not-sent", outcome.get("reason").asObject().getString("code", ""));
        }
        payterm.customer().pays("alice");
        assertEquals("approved", Tills.careful(payterm, "order-6-again", "12.34").getString("status", ""));
        assertEquals(List.of(AMOUNT), payterm.acquirer().charges());
    }

    @Test
    void aRefusalAndACustomerWhoLeaves(Payterm payterm) throws Exception {
        payterm.customer().pays("alice");
        try (var poor = payterm.mishap(Mishap.of("code").value("51"))) {
            var outcome = Tills.careful(payterm, "order-7", "12.34");
            assertEquals("host-51", outcome.get("reason").asObject().getString("code", ""));
        }
        var outcome = inBackground(() -> Tills.careful(payterm, "order-8", "12.34"));
        payterm.customer().cancel();
        assertEquals("cancelled", outcome.get(30, TimeUnit.SECONDS).getString("status", ""));
        payterm.restart();
        assertEquals("cancelled", payterm.outcome("order-8").getString("status", ""));
        assertEquals(0, payterm.acquirer().net().signum());
    }

    @Test
    void aMishapThatDoesNotHappenFailsTheTest(Payterm payterm) {
        var unused = payterm.mishap("drop_reply");
        var failure = assertThrows(AssertionError.class, unused::close);
        assertTrue(failure.getMessage().contains("never came to pass"));
        try (var perhaps = payterm.mishap(Mishap.of("busy").mti("0400").perhaps())) {
            var inner = payterm.mishap(Mishap.of("bad_mac").kind("refund"));
            assertThrows(AssertionError.class, inner::close);
            assertEquals(1, payterm.acquirer().waiting().size(), "the outer one is left");
        }
        var unknown = assertThrows(IllegalArgumentException.class, () -> Mishap.of("drop-replies"));
        assertTrue(unknown.getMessage().contains("drop_reply"));
        assertThrows(IllegalArgumentException.class, () -> payterm.mishap("delay"));
        try (var asTheAcquirerHasIt = payterm.mishap(Mishap.of("drop-reply").perhaps())) {
            assertEquals(1, payterm.acquirer().waiting().size());
        }
        assertThrows(IllegalArgumentException.class, () -> Mishap.of("busy").value(5));
        assertThrows(IllegalArgumentException.class, () -> payterm.mishap(Mishap.of("code").value("00")));
    }

    @Test
    void theAcquirerKnowsEveryName(Payterm payterm) {
        Mishap.NAMES.forEach((name, takes) -> {
            var mishap = Mishap.of(name).perhaps();
            if (takes != null) {
                mishap = takes.equals("code") ? mishap.value("51") : mishap.value(1);
            }
            payterm.mishap(mishap).close();
        });
    }

    /** An options' holder, and a test that fails: its terminal is torn down, and tells its story. */
    static class Failing {
        static Path directory;

        @RegisterExtension
        final PaytermExtension terminal = new PaytermExtension(o -> o.app("till").language("zh-CN"));

        @Test
        void fails() throws Exception {
            directory = terminal.payterm().directory();
            terminal.payterm().customer().pays("alice");
            var outcome = Tills.careful(terminal.payterm(), "order-9", "12.34");
            throw new AssertionError("app " + outcome.getString("app", ""));
        }
    }

    @Test
    void aFailureHasTheTerminalsStory() {
        var engine = EngineTestKit.engine("junit-jupiter").selectors(selectClass(Failing.class));
        var results = engine.execute().testEvents();
        results.assertStatistics(s -> s.failed(1));
        var failed = results.failed().list().get(0).getRequiredPayload(TestExecutionResult.class);
        var failure = failed.getThrowable().orElseThrow();
        assertEquals("app till", failure.getMessage());
        var story = failure.getSuppressed()[0].getMessage();
        assertTrue(story.contains("request started request=till/order-9"), story);
        assertTrue(story.contains("\"0200\""), story);
        assertFalse(Files.exists(Failing.directory), "torn down");
    }

    private static CompletableFuture<JsonObject> inBackground(Callable<JsonObject> work) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return work.call();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
    }
}
