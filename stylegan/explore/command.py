"""The command `stylegan-explore`: a local page with one network."""

from pathlib import Path

import click

from stylegan.sample import options
from stylegan.sample.options import directions_option
from stylegan_eval.engine.command import ErrorLineCommand, print_anything, say
from stylegan_eval.engine.signals import terminable


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@options.ckpt
@directions_option
@click.option("--host", default="127.0.0.1", help="Address to listen at: this machine's alone.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, help="Port; 0 is any that is free."
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@options.device
def main(
    ckpt: Path,
    directions: Path | None,
    host: str,
    port: int,
    opens: bool,
    device: str,
) -> None:
    """Serve a page to explore a network: seeds, truncation, mixing, noise, attributes.

    \b
    stylegan-explore --ckpt demo
    stylegan-explore --ckpt runs/f32 --directions f32-directions.safetensors --port 0 --open

    Each image can be downloaded with the command that draws it again. Stops on Ctrl-C.
    """
    print_anything()
    with terminable():
        from stylegan.explore.server import check_installed, listen

        check_installed()
        with listen(host, port) as listener:
            from stylegan.explore.site import serve
            from stylegan.runtime import Runtime
            from stylegan.sample.directions import directions_path
            from stylegan.sample.drawing import open_generator
            from stylegan.sample.recipe import GeneratorSource

            file = directions_path(ckpt, directions)
            subject = open_generator(ckpt, Runtime.choose(device).device, file)
            source = GeneratorSource(ckpt=ckpt, directions=directions, device=device)
            for line in listener.warnings():
                say(line, err=True)
            say(f"{subject.ckpt} ({subject.description}) at {listener.url}")
            if opens:
                click.launch(listener.url)
            serve(subject, source, listener)


if __name__ == "__main__":
    main()
