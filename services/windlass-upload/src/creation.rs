//! A new upload on its way to its first commit, whichever protocol asks for it.
//!
//! Order: it is named, and gets the key that its URL ends with; `pre-create` may change or refuse it; it is held before
//! anybody can know of it; its manifest is durable; its record comes with its first commit.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use windlass_serve::auth::Link;
use windlass_task::record::Creation;
use windlass_task::{
    Answer, Commit, Concat, Entry, Metadata, Outcome, Principal, Protocol, Record, TaskId, TaskKey, UnixMillis,
    WriteKey,
};

use crate::append::Session;
use crate::error::Error;
use crate::holder::Hold;
use crate::hooks::Asked;
use crate::ietf::Row;
use crate::location::location;
use crate::service::{Upload, failure, patiently};
use crate::storage::Manifest;

/// An upload that is not recorded yet.
pub(crate) struct New {
    upload: Arc<Upload>,
    creation: Creation,
    write_key: Option<WriteKey>,
    /// What makes its URL usable by whoever holds the link that it is created by.
    query: Option<String>,
    /// Held already, where it could be there already.
    hold: Option<Hold>,
}

/// What a link's creation finds.
pub(crate) enum Claim {
    /// It is the first: nobody else can be it now.
    Ours(Box<New>),
    /// The upload is there, and its `Location`: this repeats its creation.
    Made(Box<Record>, HeaderValue),
}

impl New {
    /// An upload of `principal`'s, with the length and metadata that the client states.
    ///
    /// # Errors
    /// [`Error::Drain`], or that the store does not answer.
    pub(crate) async fn begin(
        upload: &Arc<Upload>,
        principal: &Principal,
        protocol: Protocol,
        length: Option<u64>,
        metadata: Metadata,
    ) -> Result<Self, Error> {
        if upload.parts.shutdown.is_draining() {
            return Err(Error::Drain);
        }
        let write_key = (!upload.parts.demands_token).then(WriteKey::random);
        let key = TaskKey {
            tenant: principal.tenant.clone(),
            id: TaskId::generate(&upload.config.origin),
        };
        let creation = Creation {
            token: upload.first_token(&key).await?,
            key,
            owner: principal.owner.clone(),
            protocol,
            length,
            metadata,
            write_key: write_key.as_ref().map(WriteKey::hash),
            lifetime: upload.config.lifetime,
            concat: None,
            digest: None,
            aliases: Vec::new(),
        };
        Ok(Self {
            upload: Arc::clone(upload),
            creation,
            write_key,
            query: None,
            hold: None,
        })
    }

    /// The one upload that a signed link creates, however often it is used: its id follows from the link.
    ///
    /// # Errors
    /// [`Error::ReuseLink`] when the link has created another upload than this, [`Error::ReachUpload`] when what it has
    /// created is gone, [`Error::HoldUpload`] while it is being created.
    pub(crate) async fn by_link(mut self, link: &Link) -> Result<Claim, Error> {
        let Some(once) = link.once else {
            // The link of an upload creates none.
            return Err(Error::UseLink);
        };
        self.creation.key.id = TaskId::derived(&self.upload.config.origin, once);
        self.query = Some(link.query_for(&self.creation.key.id.to_string()));
        let upload = Arc::clone(&self.upload);
        let key = &self.creation.key;
        // Held before it is looked for, it cannot come to be in between.
        let hold = upload.holders.try_hold(key);
        match (upload.entry(key).await?, hold) {
            (Some(Entry::Gone(tombstone)), _) => Err(Error::ReachUpload { cause: tombstone.cause }),
            (Some(Entry::Live(record)), _) if self.is_repeated(&record) => {
                Ok(Claim::Made(record, self.location_field()))
            }
            (Some(Entry::Live(_)), _) => Err(Error::ReuseLink),
            (None, None) => Err(Error::HoldUpload {
                retry_after: Duration::from_secs(1),
            }),
            (None, hold @ Some(_)) => {
                self.hold = hold;
                Ok(Claim::Ours(Box::new(self)))
            }
        }
    }

    /// Whether what is there is what would be created: the same protocol, and nothing said differently of the file.
    fn is_repeated(&self, record: &Record) -> bool {
        let wanted = &self.creation;
        let same_length = wanted.length.is_none() || record.length.is_none() || wanted.length == record.length;
        // A hook may have changed what the client said.
        let same_file = self.upload.hooks.is_some() || wanted.metadata == record.metadata;
        record.protocol == wanted.protocol && same_length && same_file
    }

    /// The digests that the whole must have, a `Repr-Digest` field value.
    pub(crate) fn demanding(mut self, digest: Option<String>) -> Self {
        self.creation.digest = digest;
        self
    }

    /// Its part in a concatenation.
    pub(crate) fn in_concatenation(mut self, concat: Option<Concat>) -> Self {
        self.creation.concat = concat;
        self
    }

    /// It expires this many times as late as others.
    pub(crate) fn living_longer(mut self, times: u32) -> Self {
        self.creation.lifetime *= times;
        self
    }

    /// What finds it.
    pub(crate) fn key(&self) -> &TaskKey {
        &self.creation.key
    }

    /// Its URL, to be given out only once it is recorded.
    pub(crate) fn location(&self) -> String {
        let location = location(
            self.upload.config.public_url.as_deref(),
            &self.creation.key,
            self.write_key.as_ref(),
        );
        match &self.query {
            Some(query) => format!("{location}?{query}"),
            None => location,
        }
    }

    /// The same as a `Location` field.
    pub(crate) fn location_field(&self) -> HeaderValue {
        HeaderValue::try_from(self.location()).expect("a location is ASCII")
    }

    /// A session that takes its first body, and what `pre-create` adds to the answer. `row` is the version of a request
    /// of the IETF protocol.
    ///
    /// # Errors
    /// As `pre-create` answers, or that the storage does not take the manifest; nothing is left then.
    pub(crate) async fn open(
        mut self,
        asked: &Asked,
        row: Option<&'static Row>,
    ) -> Result<(Session, Option<Answer>), Error> {
        let answer = self.upload.ask_before_creation(&mut self.creation, asked, row).await?;
        self.upload
            .tenants
            .open(&self.creation.key, self.creation.lifetime)
            .await?;
        let hold = self.hold.or_else(|| self.upload.holders.try_hold(&self.creation.key));
        let hold = hold.ok_or(Error::FindUpload)?;
        let mut session = if self.query.is_some() {
            let record = claim(&self.upload, self.creation).await?;
            Session::begin(self.upload, hold, record).await?
        } else {
            Session::create(self.upload, hold, self.creation).await?
        };
        session.on_behalf_of(asked);
        Ok((session, answer))
    }

    /// Records it without a body; with what `pre-create` adds to the answer.
    ///
    /// # Errors
    /// As [`New::open`], or that the store does not record it.
    pub(crate) async fn record(mut self, asked: &Asked) -> Result<(Record, Option<Answer>), Error> {
        let upload = self.upload;
        let answer = upload.ask_before_creation(&mut self.creation, asked, None).await?;
        upload.tenants.open(&self.creation.key, self.creation.lifetime).await?;
        if self.query.is_some() {
            return Ok((claim(&upload, self.creation).await?, answer));
        }
        let manifest = Manifest::of(&self.creation, UnixMillis::now());
        patiently!(upload, upload.storage().write_manifest(&manifest))?;
        match upload.commit(Commit::create(self.creation)).await? {
            Outcome::Committed(Entry::Live(record)) => Ok((*record, answer)),
            other => Err(failure(other)),
        }
    }
}

/// Records the upload of a link before anything of it is stored: of two processes that come to it at once, the store lets
/// one go on. What a process left that died before its record is removed only then; a random id is never met again, this
/// one is.
async fn claim(upload: &Upload, creation: Creation) -> Result<Record, Error> {
    let manifest = Manifest::of(&creation, UnixMillis::now());
    match upload.commit(Commit::create(creation)).await? {
        Outcome::Committed(Entry::Live(record)) => {
            let Record { key, token, .. } = &*record;
            patiently!(upload, upload.storage().remove(key, &[], token.epoch))?;
            patiently!(upload, upload.storage().write_manifest(&manifest))?;
            Ok(*record)
        }
        Outcome::Conflict(Some(_)) => Err(Error::HoldUpload {
            retry_after: Duration::from_secs(1),
        }),
        other => Err(failure(other)),
    }
}
