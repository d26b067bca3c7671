//! `windlass to-tusd`: the way back for uploads that were taken over from tusd.

use std::path::PathBuf;
use std::process::ExitCode;

use windlass_task::Tenant;
use windlass_upload::tusd;

/// The flags of `to-tusd`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The data folder of Windlass; no server may run on it
    #[arg(long, value_name = "DIR", default_value = "./windlass-data")]
    data_dir: PathBuf,

    /// tusd's upload directory, the `upload.tusd.directory` of the configuration; no tusd may run on it
    #[arg(value_name = "TUSD_DIR")]
    directory: PathBuf,

    /// The `upload.tusd.tenant` of the configuration
    #[arg(long, default_value_t = Tenant::default_tenant())]
    tenant: Tenant,
}

/// Brings tusd's files to where its uploads stand.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Arguments {
        data_dir,
        directory,
        tenant,
    } = arguments;
    match tusd::go_back(&data_dir, &directory, tenant).await {
        Err(error) => {
            eprintln!("windlass to-tusd: {}", crate::text::with_causes(&error));
            ExitCode::FAILURE
        }
        Ok(report) => {
            println!(
                "{} uploads have grown, {} are as they were, {} were ended here, {} were never taken over",
                report.grown, report.unchanged, report.ended, report.foreign
            );
            for (id, reason) in &report.left {
                eprintln!("windlass to-tusd: {id} is left as it was: {reason}");
            }
            ExitCode::from(u8::from(!report.left.is_empty()))
        }
    }
}
