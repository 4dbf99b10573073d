"""What ffmpeg has said on machines whose Quick Sync did not work, with its exit code."""

from dataclasses import dataclass

from watcher.transcode.diagnosis import Kind


@dataclass(frozen=True)
class Said:
    """One row: what was said, how ffmpeg ended, what it means where the node opens."""

    stderr: str
    exit_code: int
    kind: Kind
    remedy: str


_LIST = "\n".join(
    f"[hevc_qsv @ 0x5581] [error] Current {what} is unsupported"
    for what in ("profile", "frame rate", "picture structure", "resolution", "pixel format")
)

ROWS = (
    Said(
        "[AVHWDeviceContext @ 0x55] [error] Error creating a QSV device\n"
        "[error] Device creation failed: -542398533.\n"
        "[vist#0:0/h264 @ 0x55] [error] No device available for decoder: device type qsv needed\n",
        187,
        Kind.DRIVER,
        "intel-media-va-driver",
    ),
    Said(
        "[AVHWDeviceContext @ 0x55] [error] No VA display found for device /dev/dri/renderD128.\n",
        234,
        Kind.DRIVER,
        "intel-media-va-driver",
    ),
    Said("implib-gen: libva-drm.so.2: failed to load library\n", 134, Kind.LIBVA, "libva-drm2"),
    Said(
        "[AVHWDeviceContext @ 0x5] [error] Failed to initialise VAAPI connection: -1 (unknown)\n",
        1,
        Kind.DRIVER,
        "LIBVA_DRIVER_NAME=iHD",
    ),
    Said(
        "[AVHWDeviceContext @ 0x5] [error] Error creating a MFX session: -9.\n",
        171,
        Kind.RUNTIME,
        "libmfx-gen1.2",
    ),
    Said("[error] Device creation failed: -1313558101.\n", 171, Kind.RUNTIME, "libmfx-gen1.2"),
    Said(
        "[hevc_qsv @ 0x5] [error] Error initializing an internal MFX session: unsupported (-3)\n",
        1,
        Kind.RUNTIME,
        "libmfx-gen1.2",
    ),
    Said(
        "[AVHWDeviceContext @ 0x5] [verbose] implementation version is 1.35\n"
        "[AVHWDeviceContext @ 0x5] [error] Error setting child device handle: -17\n",
        1,
        Kind.RUNTIME,
        "libmfxhw64",
    ),
    Said(
        "[hevc_qsv @ 0x5] [error] Could not load the requested plugin "
        "'2fca99749fdb49aeb121a5b63ef568f7': unsupported (-3)\n",
        1,
        Kind.OLD_FFMPEG,
        "jellyfin-ffmpeg7",
    ),
    Said(
        "[hevc_qsv @ 0x5] [error] Selected ratecontrol mode is unsupported\n"
        "[hevc_qsv @ 0x5] [error] Error initializing the encoder: invalid video parameters (-15)\n",
        1,
        Kind.RATE_CONTROL,
        "HuC",
    ),
    Said(_LIST + "\n", 1, Kind.ENTRYPOINT, "vainfo"),
    Said(
        "[hevc_vaapi @ 0x5] [error] Driver does not support ICQ RC mode (supported modes: CQP).\n",
        1,
        Kind.RATE_CONTROL,
        "CQP",
    ),
    Said(
        "[hevc_vaapi @ 0x5] [error] No usable encoding entrypoint found for profile "
        "VAProfileHEVCMain (17).\n",
        1,
        Kind.ENTRYPOINT,
        "low_power",
    ),
    Said(
        "[hevc_qsv @ 0x5] [error] Error during encoding: device failed (-17)\n",
        1,
        Kind.HANG,
        "kernel log",
    ),
    Said("[hevc_qsv @ 0x5] [error] Sync failed: GPU Hang (-21)\n", 1, Kind.HANG, "kernel log"),
    Said("[hevc_qsv @ 0x5] [warning] Invalid FrameType:0.\n", 1, Kind.HANG, "kernel log"),
    Said(
        "[vf#0:0 @ 0x5] [error] Impossible to convert between the formats supported by the filter "
        "'Parsed_null_0' and the filter 'auto_scale_0'\n",
        218,
        Kind.FORMATS,
        "software decoding",
    ),
    Said("[h264_qsv @ 0x5] [error] Error decoding header\n", 1, Kind.DECODER, "software decoding"),
    Said("[hevc_nvenc @ 0x5] [error] Cannot load libcuda.so.1\n", 255, Kind.NO_NVIDIA, "codec"),
)
