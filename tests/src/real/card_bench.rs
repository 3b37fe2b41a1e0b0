//! Time of a tap through pcscd and the virtual reader, from the connection to the kernel's outcome, without
//! the card's own time: its answers are known before. Beside it, of the same card, a bare connection and the
//! same commands.
use crate::real::{
    pcscd::{self, Pcscd, READERS},
    stack::{Result, until},
};
use payterm_devices::{
    CardDevice, CardFault, CardKernel, CardReader, DeviceError, Drivers, EmvKernel, Env, Face, Interrupt,
    VirtualBench,
};
use payterm_emv::terminal::{Parameters, Terminal};
use payterm_schema::{
    DeviceKind, Kind, Money, Time,
    card::{CardDecision, CardRun, CardStep, CardWord, Depth, Interface, Proceed},
    config::DeviceConfig,
};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, play, vpcd};
use pcsc::{Context, Disposition, Protocols, Scope, ShareMode};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    ffi::CString,
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Taps; pcscd takes half a second to see each card.
const TURNS: usize = 31;
/// Noon of the day that the card is made for (`play::DATE`).
const AT: Time = Time(1_784_088_000_000);

/// Line of the bench; measured in a namespace of its own.
pub fn line() -> Result<Value> {
    if pcscd::is_alone() {
        let _pcscd = Pcscd::start()?;
        return measured();
    }
    let out = pcscd::again(&["tap_pcsc"])?;
    let said = String::from_utf8_lossy(&out.stdout);
    let line = said.lines().find(|l| l.starts_with('{'));
    Ok(serde_json::from_str(line.ok_or_else(|| String::from_utf8_lossy(&out.stderr).into_owned())?)?)
}

/// Commands in the order in which they came, and their answers.
type Said = Vec<(Vec<u8>, Vec<u8>)>;

/// A test card in no reader, that keeps what is said.
struct Recorder {
    card: TestCard,
    said: Said,
}
impl CardReader for Recorder {
    fn wait(&mut self, _: Duration) -> std::result::Result<Option<Interface>, DeviceError> {
        Ok(Some(Interface::Contactless))
    }
    fn power(&mut self) -> std::result::Result<Vec<u8>, CardFault> {
        Ok(vpcd::ATR_T1.to_vec())
    }
    fn transmit(
        &mut self,
        command: &[u8],
        _: Duration,
    ) -> std::result::Result<Zeroizing<Vec<u8>>, CardFault> {
        let answer = self.card.answer(command);
        self.said.push((command.to_vec(), answer.clone()));
        Ok(Zeroizing::new(answer))
    }
    fn release(&mut self) -> std::result::Result<(), DeviceError> {
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        Arc::new(|| ())
    }
}

/// Draws always the same numbers, so that the card's signature is right each time.
fn kernel() -> Result<EmvKernel> {
    let terminal = Arc::new(Terminal::new(play::terminal())?);
    let parameters = Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new())?;
    Ok(EmvKernel::new(terminal, Arc::new(parameters), Box::new(|bytes| bytes.fill(7))))
}

/// A whole tap.
fn tap(kernel: &mut EmvKernel, reader: &mut dyn CardReader) -> Result<()> {
    let run = CardRun {
        txn: 1,
        kind: Kind::Sale,
        amount: Money::new(1_000, "CNY".parse()?)?,
        interface: Interface::Contactless,
        depth: Depth::Full,
        offline: true,
        at: AT,
        offset_minutes: 480,
    };
    let read = kernel.run(&run, reader)?;
    if !matches!(read, Some(CardStep::Read(_))) {
        return Err(format!("{read:?}").into());
    }
    let proceed = CardWord::Proceed(Proceed { online_pin: true, offline: true, earlier: 0 });
    match kernel.tell(proceed, reader)? {
        Some(CardStep::Done { decision: CardDecision::Approved(_), .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Answers the reader from what was said, until it is pulled.
fn serve(stream: &TcpStream, answers: &BTreeMap<Vec<u8>, Vec<u8>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(frame) = vpcd::receive(stream)? {
        let answer = match *frame {
            [vpcd::ATR] => &vpcd::ATR_T1[..],
            [] | [_] => continue,
            _ => answers.get(&frame).map_or(&[0x6F, 0x00][..], Vec::as_slice),
        };
        if !vpcd::send(stream, answer)? {
            break;
        }
    }
    Ok(())
}

fn measured() -> Result<Value> {
    let card = TestCard::new(&Personas::parse(PERSONAS)?, "qpboc-offline", play::DATE)?;
    let mut recorder = Recorder { card, said: Vec::new() };
    let mut kernel = kernel()?;
    tap(&mut kernel, &mut recorder)?;
    let said = recorder.said;
    let answers = Arc::new(said.iter().cloned().collect::<BTreeMap<_, _>>());
    let (name, port) = READERS[1];
    let mut device = DeviceConfig::new("tap", DeviceKind::ContactlessReader, "pcsc");
    device.options.insert("reader".into(), name.into());
    let encipher = Arc::new(|_: &str, _: &_, _: &_| Err("no vault".into()));
    let env = Env { bench: VirtualBench::new(), encipher, kernel: None };
    let face = Drivers::default().open(&device, &env)?.into_iter().next();
    let Some(Face::ContactlessReader(CardDevice { mut reader, .. })) = face else {
        return Err("no reader".into());
    };
    let (context, name) = (Context::establish(Scope::System)?, CString::new(name)?);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for n in 0..TURNS {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let (end, answers) = (stream.try_clone()?, answers.clone());
        let card = std::thread::spawn(move || serve(&stream, &answers));
        until("the card is seen", || reader.wait(Duration::from_millis(50)).is_ok_and(|c| c.is_some()))?;
        let mut turn = |with_kernel: bool| -> Result<()> {
            let began = Instant::now();
            if with_kernel {
                tap(&mut kernel, &mut *reader)?;
                ours.push(began.elapsed().as_secs_f64() * 1e3);
                return Ok(reader.release()?);
            }
            let card = context.connect(&name, ShareMode::Exclusive, Protocols::ANY)?;
            let mut room = [0; pcsc::MAX_BUFFER_SIZE];
            for (command, answer) in &said {
                if card.transmit(command, &mut room)? != &answer[..] {
                    return Err("another answer".into());
                }
            }
            bare.push(began.elapsed().as_secs_f64() * 1e3);
            card.disconnect(Disposition::UnpowerCard).map_err(|(_, e)| e.into())
        };
        // Neither is always the first to power the card.
        turn(n % 2 == 0)?;
        turn(n % 2 != 0)?;
        end.shutdown(Shutdown::Both)?;
        card.join().map_err(|_| "the card panicked")??;
        until("the pull is seen", || reader.occupied().is_ok_and(|there| !there))?;
    }
    let (value, floor) = (super::median(ours), super::median(bare));
    Ok(json!({
        "name": "emv.tap_pcsc",
        "unit": "ms",
        "value": value,
        "against": format!("a bare connection and the same {} commands", said.len()),
        "against_value": floor,
        "ratio": value / floor,
        "more_ms": value - floor,
    }))
}
