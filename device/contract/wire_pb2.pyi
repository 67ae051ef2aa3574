from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClockQuality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOCK_UNKNOWN: _ClassVar[ClockQuality]
    CLOCK_RECORDED: _ClassVar[ClockQuality]
    CLOCK_NTP: _ClassVar[ClockQuality]
    CLOCK_GNSS: _ClassVar[ClockQuality]
    CLOCK_CONTRADICTED: _ClassVar[ClockQuality]

class BodyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BODY_NONE: _ClassVar[BodyKind]
    BODY_TRIP_START: _ClassVar[BodyKind]
    BODY_EVENT: _ClassVar[BodyKind]
    BODY_MOTION: _ClassVar[BodyKind]
    BODY_TRIP_END: _ClassVar[BodyKind]
    BODY_HEALTH: _ClassVar[BodyKind]
    BODY_TRACK: _ClassVar[BodyKind]
    BODY_IMPACT: _ClassVar[BodyKind]

class BodyCodec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_RAW: _ClassVar[BodyCodec]
    CODEC_ZSTD: _ClassVar[BodyCodec]

class SensorGrade(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRADE_UNKNOWN: _ClassVar[SensorGrade]
    GRADE_OBD_SPEED: _ClassVar[SensorGrade]
    GRADE_GNSS: _ClassVar[SensorGrade]
    GRADE_IMU: _ClassVar[SensorGrade]
    GRADE_SIMULATED: _ClassVar[SensorGrade]

class EndReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_UNKNOWN: _ClassVar[EndReason]
    END_INACTIVE: _ClassVar[EndReason]
    END_OF_RECORDING: _ClassVar[EndReason]
    END_REBOOT: _ClassVar[EndReason]
    END_TOO_LONG: _ClassVar[EndReason]

class LocationSetting(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOCATION_UNCHANGED: _ClassVar[LocationSetting]
    LOCATION_OFF: _ClassVar[LocationSetting]
    LOCATION_COARSE: _ClassVar[LocationSetting]
    LOCATION_FULL: _ClassVar[LocationSetting]

class MotionSetting(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOTION_UNCHANGED: _ClassVar[MotionSetting]
    MOTION_OFF: _ClassVar[MotionSetting]
    MOTION_FULL: _ClassVar[MotionSetting]
CLOCK_UNKNOWN: ClockQuality
CLOCK_RECORDED: ClockQuality
CLOCK_NTP: ClockQuality
CLOCK_GNSS: ClockQuality
CLOCK_CONTRADICTED: ClockQuality
BODY_NONE: BodyKind
BODY_TRIP_START: BodyKind
BODY_EVENT: BodyKind
BODY_MOTION: BodyKind
BODY_TRIP_END: BodyKind
BODY_HEALTH: BodyKind
BODY_TRACK: BodyKind
BODY_IMPACT: BodyKind
CODEC_RAW: BodyCodec
CODEC_ZSTD: BodyCodec
GRADE_UNKNOWN: SensorGrade
GRADE_OBD_SPEED: SensorGrade
GRADE_GNSS: SensorGrade
GRADE_IMU: SensorGrade
GRADE_SIMULATED: SensorGrade
END_UNKNOWN: EndReason
END_INACTIVE: EndReason
END_OF_RECORDING: EndReason
END_REBOOT: EndReason
END_TOO_LONG: EndReason
LOCATION_UNCHANGED: LocationSetting
LOCATION_OFF: LocationSetting
LOCATION_COARSE: LocationSetting
LOCATION_FULL: LocationSetting
MOTION_UNCHANGED: MotionSetting
MOTION_OFF: MotionSetting
MOTION_FULL: MotionSetting

class Envelope(_message.Message):
    __slots__ = ("header", "body", "body_hash", "signature")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BODY_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    body: bytes
    body_hash: bytes
    signature: bytes
    def __init__(self, header: _Optional[bytes] = ..., body: _Optional[bytes] = ..., body_hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("schema_version", "device_id", "stream_id", "seq", "prev_hash", "boot_id", "queued_at_ms", "mono_ms", "clock_quality", "body_kind", "body_codec", "body_size")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PREV_HASH_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    MONO_MS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_QUALITY_FIELD_NUMBER: _ClassVar[int]
    BODY_KIND_FIELD_NUMBER: _ClassVar[int]
    BODY_CODEC_FIELD_NUMBER: _ClassVar[int]
    BODY_SIZE_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    device_id: str
    stream_id: bytes
    seq: int
    prev_hash: bytes
    boot_id: bytes
    queued_at_ms: int
    mono_ms: int
    clock_quality: ClockQuality
    body_kind: BodyKind
    body_codec: BodyCodec
    body_size: int
    def __init__(self, schema_version: _Optional[int] = ..., device_id: _Optional[str] = ..., stream_id: _Optional[bytes] = ..., seq: _Optional[int] = ..., prev_hash: _Optional[bytes] = ..., boot_id: _Optional[bytes] = ..., queued_at_ms: _Optional[int] = ..., mono_ms: _Optional[int] = ..., clock_quality: _Optional[_Union[ClockQuality, str]] = ..., body_kind: _Optional[_Union[BodyKind, str]] = ..., body_codec: _Optional[_Union[BodyCodec, str]] = ..., body_size: _Optional[int] = ...) -> None: ...

class TripStart(_message.Message):
    __slots__ = ("period_ms", "started_at_ms", "utc_offset_min", "rules_version", "sensor_grade", "recording", "vehicle", "adapter", "odometer_m", "distance_since_clear_m", "vin_hash", "start_mono_ms", "recorded_file", "speed_rate_dhz", "dtc_count", "start_cell", "config_version")
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MIN_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    SENSOR_GRADE_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ODOMETER_M_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_SINCE_CLEAR_M_FIELD_NUMBER: _ClassVar[int]
    VIN_HASH_FIELD_NUMBER: _ClassVar[int]
    START_MONO_MS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FILE_FIELD_NUMBER: _ClassVar[int]
    SPEED_RATE_DHZ_FIELD_NUMBER: _ClassVar[int]
    DTC_COUNT_FIELD_NUMBER: _ClassVar[int]
    START_CELL_FIELD_NUMBER: _ClassVar[int]
    CONFIG_VERSION_FIELD_NUMBER: _ClassVar[int]
    period_ms: int
    started_at_ms: int
    utc_offset_min: int
    rules_version: int
    sensor_grade: SensorGrade
    recording: str
    vehicle: str
    adapter: str
    odometer_m: int
    distance_since_clear_m: int
    vin_hash: bytes
    start_mono_ms: int
    recorded_file: str
    speed_rate_dhz: int
    dtc_count: int
    start_cell: Cell
    config_version: int
    def __init__(self, period_ms: _Optional[int] = ..., started_at_ms: _Optional[int] = ..., utc_offset_min: _Optional[int] = ..., rules_version: _Optional[int] = ..., sensor_grade: _Optional[_Union[SensorGrade, str]] = ..., recording: _Optional[str] = ..., vehicle: _Optional[str] = ..., adapter: _Optional[str] = ..., odometer_m: _Optional[int] = ..., distance_since_clear_m: _Optional[int] = ..., vin_hash: _Optional[bytes] = ..., start_mono_ms: _Optional[int] = ..., recorded_file: _Optional[str] = ..., speed_rate_dhz: _Optional[int] = ..., dtc_count: _Optional[int] = ..., start_cell: _Optional[_Union[Cell, _Mapping]] = ..., config_version: _Optional[int] = ...) -> None: ...

class Cell(_message.Message):
    __slots__ = ("lat_cdeg", "lon_cdeg")
    LAT_CDEG_FIELD_NUMBER: _ClassVar[int]
    LON_CDEG_FIELD_NUMBER: _ClassVar[int]
    lat_cdeg: int
    lon_cdeg: int
    def __init__(self, lat_cdeg: _Optional[int] = ..., lon_cdeg: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("trip_seq", "kind", "level", "onset_ms", "peak_ms", "end_ms", "duration_ms", "peak", "onset_speed_dkmh", "delta_v_dkmh", "rules_version", "sensor_grade", "cell")
    TRIP_SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    ONSET_MS_FIELD_NUMBER: _ClassVar[int]
    PEAK_MS_FIELD_NUMBER: _ClassVar[int]
    END_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    PEAK_FIELD_NUMBER: _ClassVar[int]
    ONSET_SPEED_DKMH_FIELD_NUMBER: _ClassVar[int]
    DELTA_V_DKMH_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    SENSOR_GRADE_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    trip_seq: int
    kind: int
    level: int
    onset_ms: int
    peak_ms: int
    end_ms: int
    duration_ms: int
    peak: int
    onset_speed_dkmh: int
    delta_v_dkmh: int
    rules_version: int
    sensor_grade: SensorGrade
    cell: Cell
    def __init__(self, trip_seq: _Optional[int] = ..., kind: _Optional[int] = ..., level: _Optional[int] = ..., onset_ms: _Optional[int] = ..., peak_ms: _Optional[int] = ..., end_ms: _Optional[int] = ..., duration_ms: _Optional[int] = ..., peak: _Optional[int] = ..., onset_speed_dkmh: _Optional[int] = ..., delta_v_dkmh: _Optional[int] = ..., rules_version: _Optional[int] = ..., sensor_grade: _Optional[_Union[SensorGrade, str]] = ..., cell: _Optional[_Union[Cell, _Mapping]] = ...) -> None: ...

class Motion(_message.Message):
    __slots__ = ("trip_seq", "first_t_ms", "count", "speed_dkmh", "accel_lon_cmps2", "accel_lat_cmps2", "yaw_rate_ddps", "accel_peak_cmps2", "engine", "limit_kmh", "quality")
    TRIP_SEQ_FIELD_NUMBER: _ClassVar[int]
    FIRST_T_MS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SPEED_DKMH_FIELD_NUMBER: _ClassVar[int]
    ACCEL_LON_CMPS2_FIELD_NUMBER: _ClassVar[int]
    ACCEL_LAT_CMPS2_FIELD_NUMBER: _ClassVar[int]
    YAW_RATE_DDPS_FIELD_NUMBER: _ClassVar[int]
    ACCEL_PEAK_CMPS2_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KMH_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    trip_seq: int
    first_t_ms: int
    count: int
    speed_dkmh: Column
    accel_lon_cmps2: Column
    accel_lat_cmps2: Column
    yaw_rate_ddps: Column
    accel_peak_cmps2: Column
    engine: Column
    limit_kmh: Column
    quality: Column
    def __init__(self, trip_seq: _Optional[int] = ..., first_t_ms: _Optional[int] = ..., count: _Optional[int] = ..., speed_dkmh: _Optional[_Union[Column, _Mapping]] = ..., accel_lon_cmps2: _Optional[_Union[Column, _Mapping]] = ..., accel_lat_cmps2: _Optional[_Union[Column, _Mapping]] = ..., yaw_rate_ddps: _Optional[_Union[Column, _Mapping]] = ..., accel_peak_cmps2: _Optional[_Union[Column, _Mapping]] = ..., engine: _Optional[_Union[Column, _Mapping]] = ..., limit_kmh: _Optional[_Union[Column, _Mapping]] = ..., quality: _Optional[_Union[Column, _Mapping]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("runs", "deltas")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedScalarFieldContainer[int]
    deltas: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, runs: _Optional[_Iterable[int]] = ..., deltas: _Optional[_Iterable[int]] = ...) -> None: ...

class Track(_message.Message):
    __slots__ = ("trip_seq", "first_t_ms", "period_ms", "count", "lat_e5deg", "lon_e5deg")
    TRIP_SEQ_FIELD_NUMBER: _ClassVar[int]
    FIRST_T_MS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LAT_E5DEG_FIELD_NUMBER: _ClassVar[int]
    LON_E5DEG_FIELD_NUMBER: _ClassVar[int]
    trip_seq: int
    first_t_ms: int
    period_ms: int
    count: int
    lat_e5deg: Column
    lon_e5deg: Column
    def __init__(self, trip_seq: _Optional[int] = ..., first_t_ms: _Optional[int] = ..., period_ms: _Optional[int] = ..., count: _Optional[int] = ..., lat_e5deg: _Optional[_Union[Column, _Mapping]] = ..., lon_e5deg: _Optional[_Union[Column, _Mapping]] = ...) -> None: ...

class Impact(_message.Message):
    __slots__ = ("trip_seq", "t_ms", "peak_cmps2", "speed_dkmh", "complete", "period_ms", "around", "cell")
    TRIP_SEQ_FIELD_NUMBER: _ClassVar[int]
    T_MS_FIELD_NUMBER: _ClassVar[int]
    PEAK_CMPS2_FIELD_NUMBER: _ClassVar[int]
    SPEED_DKMH_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    AROUND_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    trip_seq: int
    t_ms: int
    peak_cmps2: int
    speed_dkmh: int
    complete: bool
    period_ms: int
    around: Motion
    cell: Cell
    def __init__(self, trip_seq: _Optional[int] = ..., t_ms: _Optional[int] = ..., peak_cmps2: _Optional[int] = ..., speed_dkmh: _Optional[int] = ..., complete: _Optional[bool] = ..., period_ms: _Optional[int] = ..., around: _Optional[_Union[Motion, _Mapping]] = ..., cell: _Optional[_Union[Cell, _Mapping]] = ...) -> None: ...

class TripEnd(_message.Message):
    __slots__ = ("trip_seq", "reason", "summary", "odometer_m", "distance_since_clear_m", "sensor_grade", "speed_rate_dhz", "dtc_count", "adapter", "end_cell", "vin_hash", "speed_readings", "speed_missed", "speed_step_dkmh", "speed_frozen")
    TRIP_SEQ_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    ODOMETER_M_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_SINCE_CLEAR_M_FIELD_NUMBER: _ClassVar[int]
    SENSOR_GRADE_FIELD_NUMBER: _ClassVar[int]
    SPEED_RATE_DHZ_FIELD_NUMBER: _ClassVar[int]
    DTC_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    END_CELL_FIELD_NUMBER: _ClassVar[int]
    VIN_HASH_FIELD_NUMBER: _ClassVar[int]
    SPEED_READINGS_FIELD_NUMBER: _ClassVar[int]
    SPEED_MISSED_FIELD_NUMBER: _ClassVar[int]
    SPEED_STEP_DKMH_FIELD_NUMBER: _ClassVar[int]
    SPEED_FROZEN_FIELD_NUMBER: _ClassVar[int]
    trip_seq: int
    reason: EndReason
    summary: Summary
    odometer_m: int
    distance_since_clear_m: int
    sensor_grade: SensorGrade
    speed_rate_dhz: int
    dtc_count: int
    adapter: str
    end_cell: Cell
    vin_hash: bytes
    speed_readings: int
    speed_missed: int
    speed_step_dkmh: int
    speed_frozen: int
    def __init__(self, trip_seq: _Optional[int] = ..., reason: _Optional[_Union[EndReason, str]] = ..., summary: _Optional[_Union[Summary, _Mapping]] = ..., odometer_m: _Optional[int] = ..., distance_since_clear_m: _Optional[int] = ..., sensor_grade: _Optional[_Union[SensorGrade, str]] = ..., speed_rate_dhz: _Optional[int] = ..., dtc_count: _Optional[int] = ..., adapter: _Optional[str] = ..., end_cell: _Optional[_Union[Cell, _Mapping]] = ..., vin_hash: _Optional[bytes] = ..., speed_readings: _Optional[int] = ..., speed_missed: _Optional[int] = ..., speed_step_dkmh: _Optional[int] = ..., speed_frozen: _Optional[int] = ...) -> None: ...

class Summary(_message.Message):
    __slots__ = ("duration_ms", "samples", "distance_mm", "observed_ms", "unobserved_ms", "moving_ms", "standing_ms", "idle_ms", "limit_known_ms", "speeding_ms", "over_130_ms", "max_speed_dkmh", "speed_null_samples", "accel_null_samples", "lateral_samples", "jump_samples", "coarse_samples", "distance_by_speed_mm", "distance_by_hour_mm", "va_ms", "excursions", "event_counts")
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_MM_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_MS_FIELD_NUMBER: _ClassVar[int]
    UNOBSERVED_MS_FIELD_NUMBER: _ClassVar[int]
    MOVING_MS_FIELD_NUMBER: _ClassVar[int]
    STANDING_MS_FIELD_NUMBER: _ClassVar[int]
    IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KNOWN_MS_FIELD_NUMBER: _ClassVar[int]
    SPEEDING_MS_FIELD_NUMBER: _ClassVar[int]
    OVER_130_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_SPEED_DKMH_FIELD_NUMBER: _ClassVar[int]
    SPEED_NULL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ACCEL_NULL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    LATERAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    JUMP_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    COARSE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_BY_SPEED_MM_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_BY_HOUR_MM_FIELD_NUMBER: _ClassVar[int]
    VA_MS_FIELD_NUMBER: _ClassVar[int]
    EXCURSIONS_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNTS_FIELD_NUMBER: _ClassVar[int]
    duration_ms: int
    samples: int
    distance_mm: int
    observed_ms: int
    unobserved_ms: int
    moving_ms: int
    standing_ms: int
    idle_ms: int
    limit_known_ms: int
    speeding_ms: int
    over_130_ms: int
    max_speed_dkmh: int
    speed_null_samples: int
    accel_null_samples: int
    lateral_samples: int
    jump_samples: int
    coarse_samples: int
    distance_by_speed_mm: Hist
    distance_by_hour_mm: Hist
    va_ms: Hist
    excursions: Hist
    event_counts: Hist
    def __init__(self, duration_ms: _Optional[int] = ..., samples: _Optional[int] = ..., distance_mm: _Optional[int] = ..., observed_ms: _Optional[int] = ..., unobserved_ms: _Optional[int] = ..., moving_ms: _Optional[int] = ..., standing_ms: _Optional[int] = ..., idle_ms: _Optional[int] = ..., limit_known_ms: _Optional[int] = ..., speeding_ms: _Optional[int] = ..., over_130_ms: _Optional[int] = ..., max_speed_dkmh: _Optional[int] = ..., speed_null_samples: _Optional[int] = ..., accel_null_samples: _Optional[int] = ..., lateral_samples: _Optional[int] = ..., jump_samples: _Optional[int] = ..., coarse_samples: _Optional[int] = ..., distance_by_speed_mm: _Optional[_Union[Hist, _Mapping]] = ..., distance_by_hour_mm: _Optional[_Union[Hist, _Mapping]] = ..., va_ms: _Optional[_Union[Hist, _Mapping]] = ..., excursions: _Optional[_Union[Hist, _Mapping]] = ..., event_counts: _Optional[_Union[Hist, _Mapping]] = ...) -> None: ...

class Hist(_message.Message):
    __slots__ = ("key_deltas", "values")
    KEY_DELTAS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key_deltas: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, key_deltas: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[int]] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("counters",)
    class CountersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    counters: _containers.ScalarMap[str, int]
    def __init__(self, counters: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("stream_id", "stored", "rejected", "acked_at_ms")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    ACKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    stream_id: bytes
    stored: _containers.RepeatedCompositeFieldContainer[Range]
    rejected: _containers.RepeatedCompositeFieldContainer[Range]
    acked_at_ms: int
    def __init__(self, stream_id: _Optional[bytes] = ..., stored: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., acked_at_ms: _Optional[int] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class SignedConfig(_message.Message):
    __slots__ = ("config", "signature")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    config: bytes
    signature: bytes
    def __init__(self, config: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class DeviceConfigUpdate(_message.Message):
    __slots__ = ("device_id", "version", "issued_at_ms", "expires_at_ms", "rules_version", "location", "motion", "periods_ms", "batch_s", "commit_s")
    class PeriodsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    PERIODS_MS_FIELD_NUMBER: _ClassVar[int]
    BATCH_S_FIELD_NUMBER: _ClassVar[int]
    COMMIT_S_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    version: int
    issued_at_ms: int
    expires_at_ms: int
    rules_version: int
    location: LocationSetting
    motion: MotionSetting
    periods_ms: _containers.ScalarMap[str, int]
    batch_s: int
    commit_s: int
    def __init__(self, device_id: _Optional[str] = ..., version: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ..., rules_version: _Optional[int] = ..., location: _Optional[_Union[LocationSetting, str]] = ..., motion: _Optional[_Union[MotionSetting, str]] = ..., periods_ms: _Optional[_Mapping[str, int]] = ..., batch_s: _Optional[int] = ..., commit_s: _Optional[int] = ...) -> None: ...

class RecordingFrame(_message.Message):
    __slots__ = ("head", "blocks")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    head: RecordingHead
    blocks: _containers.RepeatedCompositeFieldContainer[SignalBlock]
    def __init__(self, head: _Optional[_Union[RecordingHead, _Mapping]] = ..., blocks: _Optional[_Iterable[_Union[SignalBlock, _Mapping]]] = ...) -> None: ...

class RecordingHead(_message.Message):
    __slots__ = ("format_version", "vehicle", "source", "original", "started_at_ms", "utc_offset_min", "driver", "repairs", "notes")
    class RepairsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class NotesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MIN_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    REPAIRS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    vehicle: str
    source: str
    original: str
    started_at_ms: int
    utc_offset_min: int
    driver: str
    repairs: _containers.ScalarMap[str, int]
    notes: _containers.ScalarMap[str, str]
    def __init__(self, format_version: _Optional[int] = ..., vehicle: _Optional[str] = ..., source: _Optional[str] = ..., original: _Optional[str] = ..., started_at_ms: _Optional[int] = ..., utc_offset_min: _Optional[int] = ..., driver: _Optional[str] = ..., repairs: _Optional[_Mapping[str, int]] = ..., notes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SignalBlock(_message.Message):
    __slots__ = ("signal", "times_ms", "nulls", "values")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    TIMES_MS_FIELD_NUMBER: _ClassVar[int]
    NULLS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    signal: int
    times_ms: _containers.RepeatedScalarFieldContainer[int]
    nulls: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, signal: _Optional[int] = ..., times_ms: _Optional[_Iterable[int]] = ..., nulls: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[int]] = ...) -> None: ...
