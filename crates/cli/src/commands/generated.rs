//! Texts made from the command line's own definition: completions and man pages.
use crate::{
    args::{Cli, ENVIRONMENT, EXIT_STATUS},
    ui::out,
};
use clap::CommandFactory;
use clap_complete::Shell;
use std::{io::Write, path::Path};

pub fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "paytermctl", &mut script);
    out(&String::from_utf8_lossy(&script));
}

/// A page a command. The main page is made by parts: the generator would put exit status and environment
/// under "EXTRA".
pub fn man(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let (page, mut roff) = (clap_mangen::Man::new(Cli::command().disable_help_subcommand(true)), Vec::new());
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    page.render_subcommands_section(&mut roff)?;
    for (title, text) in [("EXIT STATUS", EXIT_STATUS), ("ENVIRONMENT", ENVIRONMENT)] {
        writeln!(roff, ".SH \"{title}\"\n.nf\n{}\n.fi", text.replace('-', "\\-"))?;
    }
    std::fs::write(dir.join("paytermctl.1"), roff)
}
