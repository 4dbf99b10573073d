"""One recording's road: claim, probe, judge, encode, seal, prove, swap, remember.

`plan` goes as far as can be gone without writing, and says what would be done or why not; `travel`
goes the whole way. Whatever happens on it ends in an `Outcome`, in one event and in the ledger;
only `Halt`, which concerns every file, is raised. The order is the promise: nothing is encoded
that was not judged, nothing is proven that is not on disk, nothing is swapped in that was not
proven.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from watcher.errors import Aborted, Halt, Refused, Retryable, WatcherError
from watcher.ledger.ledger import Damage, Kind, Subject, Verdict
from watcher.ledger.ledger import Outcome as LedgerRow
from watcher.ledger.verdicts import OF_THE_NIGHT
from watcher.replace.marker import Marker
from watcher.replace.steps import told
from watcher.replace.swap import Claim, LinuxDirectory, Output, claim
from watcher.segments.segment import Segment
from watcher.transcode.child import ensure_none_stuck
from watcher.transcode.command import Job
from watcher.transcode.encode import Encoded, encode
from watcher.transcode.encoders import Decode, Settings, fitting
from watcher.transcode.ffmpeg import encoder_options
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo, VideoInfo, suitability
from watcher.transcode.progress import Progress
from watcher.transcode.tools import Tools, VerifySettings
from watcher.transcode.user_data import ensure_carried
from watcher.transcode.verify import Report, judge_source, verify_copy
from watcher.workshop import Workshop

SECOND_TRY_QUALITY: Final = 4
"""So much better a quality figure is tried, once, where a copy's VMAF was below min_vmaf."""

DAMAGED_KEPT_TIMES: Final = 7
"""So many times longer is an original kept whose damage was converted with it."""

_DAY_S = 86_400.0
_AFTER_THE_ENCODE: Final = frozenset({"no_saving", "quality_too_low", "savings_too_small"})
"""Refusals of a copy whose source was read to its end."""


class Stage(StrEnum):
    """Where on its road a recording is."""

    PROBE = "probe"
    ENCODE = "encode"
    SEAL = "seal"
    VERIFY = "verify"
    SWAP = "swap"


@dataclass(frozen=True, slots=True)
class Step:
    """How far a job is: its stage, and what share of it is done (None: not known)."""

    stage: Stage
    fraction: float | None = None
    speed: float | None = None


OnStep = Callable[[Step], None]


class Result(StrEnum):
    """How a road can end."""

    CONVERTED = "converted"
    REFUSED = "refused"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a road ended. *reason* and *message* say why, where nothing was converted."""

    segment: Segment
    result: Result
    reason: str = ""
    message: str = ""
    marker: Marker | None = None
    vmaf: float | None = None
    verdict: Verdict | None = None


def nobody(_step: Step) -> None:
    """Be told of steps, and do nothing."""


class Road:
    """One recording's journey. *force* sets remembered verdicts aside."""

    def __init__(
        self,
        segment: Segment,
        workshop: Workshop,
        leash: Leash,
        *,
        by_hand: bool = False,
        force: bool = False,
        on_step: OnStep = nobody,
    ) -> None:
        self.ident = uuid.uuid4().hex[:12]
        self._segment = segment
        self._shop = workshop
        self._leash = leash
        self._by_hand = by_hand
        self._force = force
        self._stage = Stage.PROBE
        self._tell_step = on_step
        self._tools = Tools(workshop.choice.ffmpeg, workshop.prober, leash, workshop.clock)

    def plan(self) -> MediaInfo:
        """Say what would be converted, writing nothing but the preflight's trial files.

        Raises what `travel` would end with: `Refused`, `Retryable`, `Halt`, `Aborted`.
        """
        with self._claimed() as claimed:
            return self._judged(claimed)

    def travel(self) -> Outcome:
        """Go the whole road. Raises `Halt` alone."""
        segment = self._segment
        try:
            with self._claimed() as claimed:
                return self._convert(claimed)
        except (Refused, Retryable) as verdict:
            if verdict.figures.get("remembered"):
                result = Result.REFUSED if isinstance(verdict, Refused) else Result.FAILED
                return Outcome(segment, result, verdict.reason, verdict.message)
            if isinstance(verdict, Refused):
                return self._refused(verdict)
            return self._failed(verdict)
        except Aborted as stop:
            paused_s = round(self._leash.paused_s(), 2)
            self._tell(
                "transcode_failed", reason=stop.reason, detail=stop.message, paused_s=paused_s
            )
            return Outcome(segment, Result.ABORTED, stop.reason, stop.message)
        except Halt as halt:
            self._tell("transcode_failed", reason=halt.reason, detail=halt.message)
            raise
        except Exception as error:
            if self._stage is Stage.SWAP:
                raise  # a fault of our own, there: nothing more is touched until it is understood
            self._shop.emit("unexpected", where="job", detail=f"{type(error).__name__}: {error}")
            return self._failed(Retryable("unexpected", f"{type(error).__name__}: {error}"))

    # --- before anything is written -----------------------------------------------------------

    @contextlib.contextmanager
    def _claimed(self) -> Iterator[Claim]:
        shop, segment = self._shop, self._segment
        self._ensure_no_verdict()
        ensure_none_stuck()
        with contextlib.ExitStack() as stack:
            try:
                directory = stack.enter_context(LinuxDirectory(segment.directory, clock=shop.clock))
            except OSError as error:
                raise told(error, segment.directory) from error
            yield stack.enter_context(
                claim(
                    directory,
                    segment.name,
                    policy=shop.policy,
                    preflight=shop.preflight,
                    clock=shop.clock,
                )
            )

    def _ensure_no_verdict(self) -> None:
        segment, shop = self._segment, self._shop
        found = shop.ledger.verdict(
            segment.path, segment.size_bytes, segment.mtime_ns, shop.fingerprint
        )
        if found is None or self._force or not found.stands(shop.clock.wall_s()):
            return
        if self._by_hand and found.reason in OF_THE_NIGHT:
            return
        kind = Refused if found.kind is Kind.REFUSED else Retryable
        known = shop.ledger.explain(segment.path)
        raise kind(found.reason, known.detail if known else found.reason, remembered=True)

    def _judged(self, claimed: Claim) -> MediaInfo:
        """Probe and judge the source: container, streams, and whether all of it can be kept."""
        self._on_step(Step(Stage.PROBE))
        shop = self._shop
        codecs = shop.settings.source_codecs
        info = shop.prober.probe(claimed.path, self._leash, codecs=codecs)
        claimed.ensure_unchanged()
        suitability(info, codecs)
        if info.video is not None:
            fitting(shop.choice.rung, info.video)
            self._ensure_carried(info.video)
        found = judge_source(info, shop.verify, self._tools)
        claimed.ensure_unchanged()
        return replace(info, sounds=found.sounds)

    def _ensure_carried(self, video: VideoInfo) -> None:
        if self._shop.settings.sei_user_data == "keep":
            choice = self._shop.choice
            encoder = choice.rung.encoder
            ensure_carried(encoder, video, lambda: encoder_options(choice.ffmpeg, encoder))

    # --- the work -----------------------------------------------------------------------------

    def _convert(self, claimed: Claim) -> Outcome:
        info, shop, segment = self._judged(claimed), self._shop, self._segment
        self._tell(
            "transcode_started",
            size_bytes=segment.size_bytes,
            duration_s=length_s(info),
            age_days=round((shop.clock.wall_s() - segment.mtime_s) / _DAY_S, 2),
            encoder=shop.encoder,
            by_hand=self._by_hand,
        )
        settings = shop.encode_settings
        try:
            return self._attempt(claimed, info, settings, shop.verify)
        except Refused as refusal:
            if refusal.reason != "quality_too_low":
                raise
        better = replace(settings, quality=max(1, settings.quality - SECOND_TRY_QUALITY))
        return self._attempt(claimed, info, better, _always_measured(shop.verify))

    def _attempt(
        self, claimed: Claim, info: MediaInfo, settings: Settings, proof: VerifySettings
    ) -> Outcome:
        with claimed.create_output() as output:
            encoded = self._encode(claimed, info, output, settings)
            self._on_step(Step(Stage.SEAL))
            output.seal(self._leash.check)
            began_s, paused_s = self._shop.clock.monotonic_s(), self._leash.paused_s()
            self._on_step(Step(Stage.VERIFY))
            report = verify_copy(info, output.held_path, encoded, self._tools, proof)
            verify_s = self._shop.clock.monotonic_s() - began_s
            verify_s -= self._leash.paused_s() - paused_s
            self._leash.check()
            self._on_step(Step(Stage.SWAP))
            marker = self._swap(output, encoded, report, settings)
        return self._converted(info, encoded, report, marker, verify_s)

    def _encode(
        self, claimed: Claim, info: MediaInfo, output: Output, settings: Settings
    ) -> Encoded:
        def on_progress(progress: Progress) -> None:
            claimed.ensure_unchanged()  # nothing in vain: retention may have taken it meanwhile
            self._on_step(Step(Stage.ENCODE, progress.fraction, progress.speed))

        shop = self._shop
        self._on_step(Step(Stage.ENCODE, 0.0))
        return encode(
            shop.choice.ffmpeg,
            shop.choice.rung,
            Job(info, claimed.path, output.held_path, settings),
            leash=self._leash,
            on_progress=on_progress,
            on_tick=output.trickle,  # by time: nothing is said while the index moves to the front
            clock=shop.clock,
        )

    def _swap(self, output: Output, encoded: Encoded, report: Report, settings: Settings) -> Marker:
        times = DAMAGED_KEPT_TIMES if report.source_errors else 1
        return output.commit(
            report=report.to_json(),
            encoder=encoded.encoder,
            settings={"quality": settings.quality, "preset": settings.preset},
            keep_original_s=self._shop.settings.keep_original_s * times,
        )

    # --- how a road ends ----------------------------------------------------------------------

    def _converted(
        self, info: MediaInfo, encoded: Encoded, report: Report, marker: Marker, verify_s: float
    ) -> Outcome:
        shop, segment = self._shop, self._segment
        encode_s, paused_s = encoded.wall_s - encoded.paused_s, self._leash.paused_s()
        before, after = marker.original.size, marker.copy.size
        shop.ledger.record_outcome(
            LedgerRow(
                path=segment.path,
                camera=segment.camera,
                encoder=shop.encoder,
                finished_at_s=marker.held.wall_s,
                original_size=before,
                new_size=after,
                media_s=length_s(info),
                encode_s=encode_s,
                verify_s=verify_s,
                paused_s=paused_s,
                vmaf=report.vmaf,
                by_hand=self._by_hand,
            )
        )
        self._found(Damage.CONVERTED if report.source_errors else Damage.NONE)
        self._tell(
            "transcode_finished",
            original_size_bytes=before,
            new_size_bytes=after,
            savings_bytes=before - after,
            savings_percent=round(100 * (1 - after / before), 1),
            duration_s=length_s(info),
            encode_s=round(encode_s, 2),
            verify_s=round(verify_s, 2),
            paused_s=round(paused_s, 2),
            speed=round(encoded.speed, 2) if encoded.speed else None,
            encoder=encoded.encoder,
            vmaf=report.vmaf,
            vmaf_min=report.vmaf_min,
            verify_decode=report.decode,
            damaged_frames=report.damaged_frames,
            delete_after=marker.held.until_s,
        )
        return Outcome(segment, Result.CONVERTED, marker=marker, vmaf=report.vmaf)

    def _refused(self, refusal: Refused) -> Outcome:
        segment, shop = self._segment, self._shop
        verdict = shop.ledger.remember_refusal(
            subject(segment), refusal.reason, refusal.message, shop.fingerprint
        )
        if refusal.reason == "damaged_source":
            self._found(Damage.REFUSED)
        elif refusal.reason in _AFTER_THE_ENCODE and self._decodes_strictly:
            self._found(Damage.NONE)
        self._tell(
            "transcode_rejected",
            reason=refusal.reason,
            detail=refusal.message,
            **_figures(refusal, "savings_percent", "vmaf"),
        )
        return Outcome(segment, Result.REFUSED, refusal.reason, refusal.message, verdict=verdict)

    def _failed(self, failure: Retryable) -> Outcome:
        segment, shop = self._segment, self._shop
        verdict = shop.ledger.remember_failure(
            subject(segment), failure.reason, failure.message, shop.fingerprint
        )
        if failure.reason == "projected":  # stopped early because it would not pay: no fault
            figures = _figures(failure, "savings_percent")
            self._tell("transcode_rejected", reason="projected", detail=failure.message, **figures)
            return Outcome(
                segment, Result.REFUSED, failure.reason, failure.message, verdict=verdict
            )
        self._tell(
            "transcode_failed",
            reason=failure.reason,
            detail=failure.message,
            attempt=verdict.attempts,
            retry_at=verdict.retry_at_s,
            **_figures(failure, "exit_code", "command", "stderr_tail"),
        )
        return Outcome(segment, Result.FAILED, failure.reason, failure.message, verdict=verdict)

    @property
    def _decodes_strictly(self) -> bool:
        """Whether an encode that ends well has shown that its source decodes cleanly."""
        shop = self._shop
        in_software = shop.choice.rung.decode is Decode.SOFTWARE
        return in_software and not shop.encode_settings.tolerate_damage

    def _found(self, damage: Damage) -> None:
        self._shop.ledger.record_source(self._segment.path, self._segment.camera, damage)

    def _on_step(self, step: Step) -> None:
        self._stage = step.stage
        self._tell_step(step)

    def _tell(self, event: str, /, **fields: object) -> None:
        segment = self._segment
        self._shop.emit(event, camera=segment.camera, path=segment.path, job=self.ident, **fields)


def subject(segment: Segment) -> Subject:
    """Give the ledger's key of *segment*."""
    return Subject(segment.path, segment.size_bytes, segment.mtime_ns, segment.camera)


def length_s(info: MediaInfo) -> float:
    """How long *info* is, in seconds; 0 where nothing tells."""
    return info.duration_s or (info.video.duration_s if info.video else None) or 0.0


def _always_measured(proof: VerifySettings) -> VerifySettings:
    """A second copy saves less, perhaps too little to be measured: it must not pass unseen."""
    quality = proof.quality
    return replace(proof, quality=quality and replace(quality, short_share=1.0))


def _figures(error: WatcherError, *names: str) -> dict[str, object]:
    return {name: error.figures[name] for name in names if name in error.figures}
