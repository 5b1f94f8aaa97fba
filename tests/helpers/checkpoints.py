"""Tiny random checkpoints in Hugging Face format, one of every build that is read."""

from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip(
    "transformers", reason="the extra earmark[transformers] is not installed"
)

SPEECH = {  # as small as they go, with every part that the real ones have
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 6,  # OpenVINO computes longer kernels of 4 channels wrongly with AMX
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 5,
    "mask_time_prob": 0.5,
    "layerdrop": 0.5,
}
GROUP = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
BUILDS = {  # name -> configuration, model with a head, changes of the configuration
    "wav2vec2-group": ("Wav2Vec2Config", "Wav2Vec2ForCTC", GROUP),
    "wav2vec2-layer": ("Wav2Vec2Config", "Wav2Vec2ForPreTraining", LAYER),
    "hubert-group": ("HubertConfig", "HubertForCTC", GROUP),
    "hubert-layer": ("HubertConfig", "HubertModel", LAYER),
    "wavlm-group": ("WavLMConfig", "WavLMForSequenceClassification", GROUP),
    "wavlm-layer": ("WavLMConfig", "WavLMModel", LAYER),
    "data2vec": ("Data2VecAudioConfig", "Data2VecAudioForCTC", {"num_conv_pos_embeddings": 3}),
    "unispeech-sat-group": ("UniSpeechSatConfig", "UniSpeechSatForCTC", GROUP),
    "unispeech-sat-layer": ("UniSpeechSatConfig", "UniSpeechSatModel", LAYER),
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "vocab_size": 10,
    "num_mel_bins": 40,
    "max_source_positions": 100,  # 2 s
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
AST = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_length": 200,  # 2 s
    "num_mel_bins": 36,
}
NAMES = [*BUILDS, "whisper", "ast"]


def scatter(model: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter a value of its own: fresh norms and tokens are all ones and zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return model.eval()


def write_checkpoints(root: Path) -> None:
    """Write one of every build, a folder each, as save_pretrained writes it."""
    torch.manual_seed(0)
    for name, (config, model, changes) in BUILDS.items():
        settings = getattr(transformers, config)(**SPEECH | changes)
        scatter(getattr(transformers, model)(settings)).save_pretrained(root / name)
        normalise = "group" in name  # as the published ones have it, and both are tried
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
        extractor.save_pretrained(root / name)
    settings = transformers.WhisperConfig(**WHISPER)
    model = scatter(transformers.WhisperForConditionalGeneration(settings))
    model.save_pretrained(root / "whisper")
    extractor = transformers.WhisperFeatureExtractor(feature_size=40, chunk_length=2)
    extractor.save_pretrained(root / "whisper")
    settings = transformers.ASTConfig(**AST)
    scatter(transformers.ASTForAudioClassification(settings)).save_pretrained(root / "ast")
    extractor = transformers.ASTFeatureExtractor(max_length=200, num_mel_bins=36, mean=-3, std=5)
    extractor.save_pretrained(root / "ast")
