import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jpos.iso.*;

/**
 * Packs and unpacks message.json with jPOS and the same field table; prints the bytes and one JSON object a
 * line.
 */
public class Jpos {
    static final int RUNS = 61, TIMES = 20_000;

    /** The UnionPay table (host-protocol section 2) in jPOS's words. */
    static class Table extends ISOBasePackager {
        Table() {
            ISOFieldPackager[] f = new ISOFieldPackager[65];
            for (int i = 0; i < f.length; i++) f[i] = new IFB_BINARY(8, "not used");
            f[0] = new IFB_NUMERIC(4, "MTI", true);
            f[1] = new IFB_BITMAP(8, "bitmap");
            f[2] = new IFB_LLNUM(19, "PAN", false);
            f[3] = new IFB_NUMERIC(6, "processing code", true);
            f[4] = new IFB_NUMERIC(12, "amount", true);
            f[11] = new IFB_NUMERIC(6, "STAN", true);
            f[14] = new IFB_NUMERIC(4, "expiry", true);
            f[22] = new IFB_NUMERIC(3, "entry mode", false);
            f[23] = new IFB_NUMERIC(3, "card sequence number", true);
            f[25] = new IFB_NUMERIC(2, "condition code", true);
            f[26] = new IFB_NUMERIC(2, "PIN capture code", true);
            f[35] = new IFB_LLNUM(37, "track 2", false);
            f[41] = new IF_CHAR(8, "terminal");
            f[42] = new IF_CHAR(15, "merchant");
            f[49] = new IF_CHAR(3, "currency");
            f[52] = new IFB_BINARY(8, "PIN block");
            f[53] = new IFB_NUMERIC(16, "security control", true);
            f[55] = new IFB_LLLBINARY(255, "ICC data");
            f[60] = new IFB_LLLNUM(19, "own use 60", false);
            f[63] = new IFB_LLLCHAR(163, "own use 63");
            f[64] = new IFB_BINARY(8, "MAC");
            setFieldPackager(f);
        }
    }

    interface Body {
        Object run() throws Exception;
    }

    static volatile Object sink;

    /** Median of the runs in nanoseconds, after a warm-up as long as the measurement. */
    static double median(Body body) throws Exception {
        double[] runs = new double[RUNS];
        for (int pass = 0; pass < 2; pass++) {
            for (int r = 0; r < RUNS; r++) {
                long start = System.nanoTime();
                for (int i = 0; i < TIMES; i++) sink = body.run();
                runs[r] = (System.nanoTime() - start) / (double) TIMES;
            }
        }
        Arrays.sort(runs);
        return runs[RUNS / 2];
    }

    public static void main(String[] args) throws Exception {
        String json = Files.readString(Path.of(args[0]));
        Map<Integer, Object> fields = new TreeMap<>();
        Matcher m = Pattern.compile("\"(\\d+)\": *\"([^\"]*)\"").matcher(json);
        while (m.find()) {
            int n = Integer.parseInt(m.group(1));
            byte[] raw = n == 52 || n == 55 || n == 63 || n == 64 ? ISOUtil.hex2byte(m.group(2)) : null;
            fields.put(n, raw == null ? m.group(2) : n == 63 ? new String(raw, "ISO-8859-1") : raw);
        }
        ISOPackager table = new Table();
        int[] numbers = fields.keySet().stream().mapToInt(i -> i).toArray();
        Object[] values = fields.values().toArray();
        Body pack = () -> {
            ISOMsg msg = new ISOMsg();
            msg.setPackager(table);
            msg.setMTI("0200");
            for (int i = 0; i < numbers.length; i++) {
                if (values[i] instanceof String s) msg.set(numbers[i], s);
                else msg.set(numbers[i], (byte[]) values[i]);
            }
            return msg.pack();
        };
        byte[] packed = (byte[]) pack.run();
        Body unpack = () -> {
            ISOMsg msg = new ISOMsg();
            msg.setPackager(table);
            msg.unpack(packed);
            int seen = 0;
            for (int n : numbers) if (msg.getValue(n) != null) seen++;
            if (seen != numbers.length) throw new IllegalStateException("fields lost");
            return msg;
        };
        System.out.println(ISOUtil.hexString(packed));
        System.out.printf("{\"name\":\"iso8583.pack\",\"value\":%.1f}%n", median(pack));
        System.out.printf("{\"name\":\"iso8583.unpack\",\"value\":%.1f}%n", median(unpack));
    }
}
