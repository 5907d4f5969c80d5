"""``POST /v1/video`` and ``/v1/jobs``: videos as jobs."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from i2i.serving.problems import ProblemError
from i2i.serving.web import bodies
from i2i.serving.web.parameters import parse
from i2i.serving.work.service import Service
from i2i.serving.work.video_job import Job, suffix_of, translate

MEDIA = {
    ".mp4": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska", ".gif": "image/gif",
    ".webp": "image/webp", ".png": "image/apng",
}  # fmt: skip


class VideoJobs:
    """The endpoints of videos."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, request: Request) -> Response:
        """Take the body as a video, and return its job, 202."""
        service, trace, videos = self._service, request.state.trace, self._service.videos
        trace.endpoint = "video"
        _ = service.pool  # refuses while models are loaded
        fields = dict(request.query_params)
        name = fields.pop("model", "")
        with service.store.used(name) as served:
            trace.model = served.name
            parameters = parse(fields, service.settings.max_pixels)
            if parameters.options.format is not None:
                raise ProblemError(400, "a video has no format; its container is that of the source, or Matroska")
            bound = parameters.bind(served.model)
            job = videos.accept(served.name)
            try:
                await self._receive(request, job)
                job.suffix = await asyncio.to_thread(suffix_of, job.upload)  # counts the frames of a GIF
                if not job.suffix:
                    raise ProblemError(
                        415, "not a video of a known container (MP4, MOV, Matroska, WebM, AVI, MPEG, GIF ...)"
                    )
                videos.start(job, partial(translate, model=bound, options=parameters.options, reserve=videos.reserve))
            except BaseException:
                videos.cancel(job)
                raise
        return JSONResponse(job.document(), 202, {"Location": f"/v1/jobs/{job.id}"})

    async def _receive(self, request: Request, job: Job) -> None:
        with open(job.upload, "wb") as file:
            async for chunk in bodies.chunks(request, self._service.settings.max_video):
                self._service.videos.reserve(job, len(chunk))
                await asyncio.to_thread(file.write, chunk)

    async def status(self, request: Request) -> Response:
        """Return a job's state and progress."""
        request.state.trace.endpoint = "job"
        return JSONResponse(self._job(request).document())

    async def result(self, request: Request) -> Response:
        """Return the translated video. Raises ProblemError 409 before it is done."""
        request.state.trace.endpoint = "job"
        job = self._job(request)
        if job.state != "done":
            raise ProblemError(409, f"the video is {job.state}" + (f": {job.detail}" if job.detail else ""))
        return FileResponse(job.result, media_type=MEDIA[job.suffix], filename=f"{job.model}{job.suffix}")

    async def cancel(self, request: Request) -> Response:
        """End a job and delete its files, 204."""
        request.state.trace.endpoint = "job"
        job = self._job(request)
        await asyncio.to_thread(self._service.videos.cancel, job)
        return Response(status_code=204)

    def _job(self, request: Request) -> Job:
        return self._service.videos.get(request.path_params["job"])
